"""Fast tests without sockets or brokers."""
