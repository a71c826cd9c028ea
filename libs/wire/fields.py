"""Fields that several messages share: their checks, and provenance, clock and quote as values."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from libs.trading.market import Provenance, Quote, SessionClock
from libs.wire.malformed import MalformedMessage
from protos.market.v1 import market_pb2

EnumT = TypeVar("EnumT", bound=IntEnum)
MessageT = TypeVar("MessageT", bound=Message)


def parse(message: MessageT, data: bytes) -> MessageT:
    """Fill `message` from its bytes. Raises MalformedMessage when they are not one."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedMessage(f"not a {message.DESCRIPTOR.full_name}: {error}") from error
    return message


def number(value: IntEnum) -> Any:
    """An enum's number for a message's field; typed Any because generated stubs want the enum of the message itself."""
    return int(value)


def member(kind: type[EnumT], value: int, field: str) -> EnumT:
    """The member of our enum. Raises MalformedMessage for 0 (unspecified) and for numbers that we do not know."""
    try:
        return kind(value)
    except ValueError:
        text = "unspecified" if value == 0 else f"unknown: {value}"
        raise MalformedMessage(f"{field} is {text}") from None


def provenance_of(value: int) -> Provenance:
    return member(Provenance, value, "provenance")


def clock_message(clock: SessionClock) -> market_pb2.SessionClock:
    return market_pb2.SessionClock(
        wall_anchor_ns=clock.wall_anchor_ns, session_anchor_ns=clock.session_anchor_ns, rate=clock.rate
    )


def clock_value(message: Any) -> SessionClock:
    """The clock of a message that has a field `clock`. Raises MalformedMessage when it is absent or runs backwards."""
    if not message.HasField("clock"):
        raise MalformedMessage("clock is missing")
    clock = message.clock
    if not (math.isfinite(clock.rate) and clock.rate >= 0.0):
        raise MalformedMessage(f"clock.rate is {clock.rate}, not a finite number of at least 0")
    return SessionClock(clock.wall_anchor_ns, clock.session_anchor_ns, clock.rate)


def quote_message(quote: Quote) -> market_pb2.Quote:
    return market_pb2.Quote(bid=quote.bid, bid_size=quote.bid_size, ask=quote.ask, ask_size=quote.ask_size)


def quote_value(message: Any) -> Quote | None:
    """The quote of a message that has a field `quote`; None when absent. Raises MalformedMessage for numbers ≤ 0."""
    if not message.HasField("quote"):
        return None
    q = message.quote
    for name, value in (("bid", q.bid), ("bid_size", q.bid_size), ("ask", q.ask), ("ask_size", q.ask_size)):
        if not (math.isfinite(value) and value > 0.0):
            raise MalformedMessage(f"quote.{name} is {value}, not a finite number above 0")
    return Quote(q.bid, q.bid_size, q.ask, q.ask_size)


def finite(value: float, field: str) -> float:
    if not math.isfinite(value):
        raise MalformedMessage(f"{field} is {value}, not a finite number")
    return value


def positive(value: float, field: str) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise MalformedMessage(f"{field} is {value}, not a finite number above 0")
    return value


def not_negative(value: float, field: str) -> float:
    if not (math.isfinite(value) and value >= 0.0):
        raise MalformedMessage(f"{field} is {value}, not a finite number of at least 0")
    return value


def text(value: str, field: str) -> str:
    if not value:
        raise MalformedMessage(f"{field} is empty")
    return value
