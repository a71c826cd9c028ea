"""What we know about markets; touches nothing."""
