"""A venue that speaks Bybit v5, plays a generated or a recorded market, and keeps paper accounts."""
