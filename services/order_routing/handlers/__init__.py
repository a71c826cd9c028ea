"""What the router does with predictions, venue news and requests; reads, asks the core, writes."""
