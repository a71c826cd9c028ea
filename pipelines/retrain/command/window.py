"""Windows of event time as they are written: `60m` until `now` or a stated time, cut so that a retry is the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.retrain.adapters.run_folder import RunError

NS = 10**9
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
MINUTE, HOUR, DAY = 60, 3600, 86400
NOW = "now"


@dataclass(frozen=True, slots=True)
class Window:
    """[from_ns, to_ns) of event time, ns since 1970 UTC; `text` is its length as it was written."""

    text: str
    from_ns: int
    to_ns: int


def window(length: str, until: str, now_s: float) -> Window:
    """The window that ends at `until`; `now` is cut to a whole minute, for windows of a day and more to a whole hour.

    Raises RunError for a length or a time that cannot be read, and for an end that is still to come.
    """
    seconds = length_s(length)
    if until == NOW:
        step = HOUR if seconds >= DAY else MINUTE
        end = int(now_s) // step * step
    else:
        end = moment_s(until, "--until")
        if end > now_s:
            raise RunError(f"--until {until}: lies {end - now_s:.0f} s ahead; a window ends in the past, or at 'now'")
    return Window(length, (end - seconds) * NS, end * NS)


def length_s(text: str) -> int:
    """Seconds of `60m`, `24h`, `7d` or `26w`. Raises RunError."""
    found = re.fullmatch(r"(\d+)([mhdw])", text)
    if found is None or int(found[1]) == 0:
        raise RunError(f"--window {text!r}: expected a number and m, h, d or w, as 60m, 24h, 7d or 26w")
    return int(found[1]) * UNITS[found[2]]


def moment_s(text: str, option: str) -> int:
    """Seconds since 1970 of an ISO time with its zone. Raises RunError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise RunError(f"{option} {text!r}: expected 'now' or a time as 2026-11-22T00:00:00Z") from error
    if found.tzinfo is None:
        raise RunError(f"{option} {text!r}: has no time zone; write Z for UTC, as 2026-11-22T00:00:00Z")
    return int(found.timestamp())


def stamp(ns: int) -> str:
    """As 20261122T000000Z, which sorts and needs no quoting."""
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y%m%dT%H%M%SZ")
