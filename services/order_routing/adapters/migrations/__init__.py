"""The journal's migrations: a new one only adds, or sets in `compatibility` which images may no longer use it."""
