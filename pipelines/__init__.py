"""What runs every week."""
