"""The retraining's rims: archive, MLflow, boosters."""
