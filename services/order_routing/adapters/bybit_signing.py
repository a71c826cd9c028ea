"""Bybit v5 request and WebSocket signatures."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret; the secret never shows in a log."""

    key: str
    secret: str = field(repr=False)


def _sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed_headers(credentials: Credentials, timestamp_ms: int, receive_window_ms: int, payload: str) -> dict[str, str]:
    """Headers of one request; `payload` is the query string of a GET, the body of a POST, exactly as sent."""
    text = f"{timestamp_ms}{credentials.key}{receive_window_ms}{payload}"
    return {
        "X-BAPI-API-KEY": credentials.key,
        "X-BAPI-TIMESTAMP": str(timestamp_ms),
        "X-BAPI-RECV-WINDOW": str(receive_window_ms),
        "X-BAPI-SIGN": _sign(credentials.secret, text),
        "Content-Type": "application/json",
    }


def stream_signature(credentials: Credentials, expires_ms: int) -> str:
    return _sign(credentials.secret, f"GET/realtime{expires_ms}")
