"""The gate's report: as JSON beside the bundle, as tables in a terminal, as a page of plots."""
