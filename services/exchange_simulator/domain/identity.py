"""Names of orders, fills and trades, derived from what they are, so that they never repeat and need no chance."""

from __future__ import annotations

import hashlib


def trade_uuid(kind: str, number: int | str) -> str:
    """A name in the shape of the venue's: 8-4-4-4-12 hexadecimal digits."""
    text = hashlib.blake2b(f"{kind}:{number}".encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def order_id(sequence: int) -> str:
    return trade_uuid("order", sequence)
