"""Faults on demand, so that clients can be tested against a venue that misbehaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What goes wrong: on the way back of a request, or in the private stream.

    DELAY_ANSWER keeps an answer back for `seconds`; DROP_AFTER_ACCEPT closes the connection and ERROR_AFTER_ACCEPT says
    HTTP 502 after the request was carried out; DUPLICATE_EXECUTIONS sends an execution frame twice; DROP_ORDERS leaves
    an order frame out; DROP_STREAMS closes every WebSocket once.
    """

    DELAY_ANSWER = "delay_answer"
    DROP_AFTER_ACCEPT = "drop_after_accept"
    ERROR_AFTER_ACCEPT = "error_after_accept"
    DUPLICATE_EXECUTIONS = "duplicate_executions"
    DROP_ORDERS = "drop_orders"
    DROP_STREAMS = "drop_streams"


@dataclass(slots=True)
class Fault:
    """Happens the next `times` times, to requests whose path starts with `path`."""

    kind: Kind
    times: int = 1
    path: str = "/v5/order/create"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.times < 1 or not 0 <= self.seconds <= 60:
            raise ValueError("times must be at least 1, seconds within 0..60")


class Faults:
    """The faults that are still to happen, in the order they were asked for."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def add(self, body: bytes) -> Fault:
        """Raises `msgspec.ValidationError` or ValueError for what is not a fault."""
        fault = msgspec.json.decode(body, type=Fault)
        self.pending.append(fault)
        return fault

    def take(self, kind: Kind, path: str = "") -> Fault | None:
        """The next fault of that kind for that path, used up once; None when there is none."""
        for fault in self.pending:
            if fault.kind is kind and path.startswith(fault.path if path else ""):
                fault.times -= 1
                if fault.times == 0:
                    self.pending.remove(fault)
                return fault
        return None
