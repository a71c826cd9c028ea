"""What the venue's simulator announces of the session it plays, and the word that lets a waiting one go on."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


class SourceProblem(Exception):
    """The simulator's announcement cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Session:
    """One announced session. Times are ns since 1970 UTC in session time; `rate` is session seconds per wall second."""

    session: str
    instrument: str
    symbol: str
    provenance: str
    state: str  # PLAYING_TRAINING, WAITING, TRADING or ENDED
    training_start_ns: int
    training_end_ns: int
    wall_anchor_ns: int
    session_anchor_ns: int
    rate: float
    maker_fee_bps: str
    taker_fee_bps: str


class Source:
    """The simulator of one environment, over HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def answers(self) -> bool:
        try:
            return bool(self.sessions())
        except SourceProblem:
            return False

    def sessions(self) -> list[Session]:
        """What is played now. Raises `SourceProblem` when the simulator does not answer as announced."""
        answer = self._request("GET", "/simulator/v1/sessions")
        try:
            return [session_of(item) for item in answer["sessions"]]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceProblem(f"the announcement at {self.address} has another shape: {error!r}") from error

    def go(self, session: str) -> None:
        """Let a waiting recording go on at rate 1."""
        self._request("POST", f"/simulator/v1/sessions/{session}/go")

    def _request(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.address + path, method=method, data=b"" if method == "POST" else None)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
            raise SourceProblem(f"{method} {self.address}{path}: {error}") from error


def session_of(item: dict[str, Any]) -> Session:
    clock = item["clock"]
    return Session(
        session=item["session"],
        instrument=item["instrument"],
        symbol=item["symbol"],
        provenance=item["provenance"],
        state=item["state"],
        training_start_ns=int(item["training_start_ns"]),
        training_end_ns=int(item["training_end_ns"]),
        wall_anchor_ns=int(clock["wall_anchor_ns"]),
        session_anchor_ns=int(clock["session_anchor_ns"]),
        rate=float(clock["rate"]),
        maker_fee_bps=item["market"]["maker_fee_bps"],
        taker_fee_bps=item["market"]["taker_fee_bps"],
    )
