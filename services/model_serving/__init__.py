"""Scores feature vectors with the bundles that it accepted."""
