"""Values for tests, each with a plain default."""
