"""The log to Parquet, exactly once."""
