"""The rim of the venue: HTTP, WebSocket, SQLite and recordings."""
