"""What data ingestion does when a venue speaks or an operator asks."""
