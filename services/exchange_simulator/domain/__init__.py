"""The pure part of the venue: what it lists, what it plays, what it does with orders."""
