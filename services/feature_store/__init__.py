"""Turns the market's log into feature vectors, and answers what they are now."""
