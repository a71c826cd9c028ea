"""The local MLflow server."""
