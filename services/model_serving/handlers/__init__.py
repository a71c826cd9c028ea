"""What the service does: serve models, reconcile them with the wish, score the log."""
