"""The archive's rims: the log and the files."""
