"""What a model version is: manifest, digest, signatures, verdicts."""
