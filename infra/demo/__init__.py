"""Starts and supervises the whole platform on a laptop."""
