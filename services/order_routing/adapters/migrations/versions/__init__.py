"""One file per revision, each written by hand and never changed once released."""
