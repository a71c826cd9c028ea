"""What touches the world: registry, bundle files, runtime, log, notices."""
