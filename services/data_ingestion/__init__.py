"""Venues' frames to market events in the log."""
