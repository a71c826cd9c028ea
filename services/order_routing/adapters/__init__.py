"""The journal's database, the venue's HTTP and WebSocket, Kafka and the verdicts' keys."""
