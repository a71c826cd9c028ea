"""The steps of retraining, as ordinary functions."""
