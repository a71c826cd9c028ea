"""The floor: bytes, sockets, signals; knows no trading."""
