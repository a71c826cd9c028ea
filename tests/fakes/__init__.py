"""Fakes that obey the same promises as what they stand for."""
