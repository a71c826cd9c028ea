"""Makes, judges and registers the next ProductionEnsemble."""
