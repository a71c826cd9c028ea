"""The promotion gate: pure rules that say which model may act, and why not."""
