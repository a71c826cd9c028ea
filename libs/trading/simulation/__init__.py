"""What a venue does with orders, without a venue: books that match, a queue that waits, an account that adds up."""
