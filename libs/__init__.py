"""Code that is never deployed alone."""
