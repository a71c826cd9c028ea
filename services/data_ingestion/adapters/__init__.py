"""The venue's and Kafka's ends of data ingestion."""
