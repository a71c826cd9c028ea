"""The command line: what can be asked, and how it becomes one request."""
