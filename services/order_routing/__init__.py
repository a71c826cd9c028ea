"""Decides on predictions, journals, sends orders and keeps the journal equal to the venue."""
