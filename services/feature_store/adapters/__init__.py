"""Kafka, protobuf and metrics behind the service's ports."""
