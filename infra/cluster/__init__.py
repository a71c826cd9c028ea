"""What a release on Kubernetes needs once."""
