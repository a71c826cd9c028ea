"""The chart as helm renders it, without a cluster."""
