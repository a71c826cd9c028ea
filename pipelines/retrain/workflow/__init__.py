"""Retraining on a cluster: what Argo runs, rendered by hera, and how a person starts and watches it."""
