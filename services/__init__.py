"""What runs all day."""
