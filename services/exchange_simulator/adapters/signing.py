"""Who signed a request, and whether in time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from services.exchange_simulator.domain import orders
from services.exchange_simulator.domain.orders import Refused

DEFAULT_WINDOW_MS = 5000
AHEAD_MS = 1000


def sign(secret: str, text: str) -> str:
    """Lower-case hexadecimal HMAC-SHA256."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def who_signed(headers: Mapping[str, str], payload: str, secrets: Mapping[str, str], now_ms: int) -> str | Refused:
    """The key that signed timestamp + key + receive window + payload (query string or body), or why not.

    A request is in time when `now - window <= timestamp < now + 1 s`.
    """
    key = headers.get("X-BAPI-API-KEY", "")
    stamp = headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "") or str(DEFAULT_WINDOW_MS)
    if not stamp.isdigit() or not window.isdigit():
        return Refused(
            orders.BAD_PARAMETER, "params error: X-BAPI-TIMESTAMP or X-BAPI-RECV-WINDOW is missing or no number"
        )
    if key not in secrets:
        return Refused(orders.UNKNOWN_KEY, "API key is invalid.")
    if not now_ms - int(window) <= int(stamp) < now_ms + AHEAD_MS:
        times = f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]"
        words = "invalid request, please check your server timestamp or recv_window param."
        return Refused(orders.CLOCK_SKEW, f"{words} {times}")
    text = stamp + key + headers.get("X-BAPI-RECV-WINDOW", "") + payload
    if not hmac.compare_digest(sign(secrets[key], text), headers.get("X-BAPI-SIGN", "")):
        return Refused(
            orders.BAD_SIGNATURE, f"Error sign, please check your signature generation algorithm. origin_string[{text}]"
        )
    return key


def stream_key(args: object, secrets: Mapping[str, str], now_ms: int) -> str | None:
    """The key of an `auth` operation's [key, expires, signature of "GET/realtime" + expires]; None when it is wrong."""
    if not isinstance(args, list) or len(args) != 3:
        return None
    key, expires, signature = (str(part) for part in args)
    if key not in secrets or not expires.isdigit() or int(expires) < now_ms:
        return None
    right = hmac.compare_digest(sign(secrets[key], f"GET/realtime{expires}"), signature)
    return key if right else None
