"""The compiled heart of the feature engine: one file per group, one state record, no Python objects."""
