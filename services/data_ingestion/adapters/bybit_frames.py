"""Bybit v5 public frames to market events."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NoReturn

import msgspec

from libs.trading.market import (
    BookUpdate,
    Channel,
    Liquidation,
    MarketEvent,
    Provenance,
    SessionClock,
    Side,
    Ticker,
    Trade,
)
from services.data_ingestion.domain import Announcement, SourceState

NS_PER_MS = 1_000_000
SESSIONS_TOPIC = "simulator.sessions"
CHANNELS = {
    "orderbook": Channel.BOOK,
    "publicTrade": Channel.TRADES,
    "tickers": Channel.TICKER,
    "allLiquidation": Channel.LIQUIDATIONS,
}
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MAX_ID = 2**62
MAX_TIME_MS = 10_000_000_000_000
SideName = Literal["Buy", "Sell"]
Level = tuple[float, float]


class BadFrame(ValueError):
    """A frame that cannot be used; `channel` is what was lost with it (ALL when the frame does not say)."""

    def __init__(self, channel: Channel, reason: str) -> None:
        super().__init__(reason)
        self.channel = channel


@dataclass(frozen=True, slots=True)
class MarketFrame:
    channel: Channel
    events: tuple[MarketEvent, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The venue's answer to an operation of ours."""

    op: str
    success: bool
    message: str
    request: str


@dataclass(frozen=True, slots=True)
class Announced:
    announcements: tuple[Announcement, ...]


class _Envelope(msgspec.Struct):
    topic: str = ""
    type: str = ""
    ts: int = 0
    cts: int = 0
    data: msgspec.Raw = msgspec.Raw()
    op: str = ""
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""


class _Book(msgspec.Struct):
    s: str
    b: list[Level]
    a: list[Level]
    u: int


class _Trade(msgspec.Struct):
    T: int
    s: str
    S: SideName
    v: float
    p: float
    i: str


class _Liquidation(msgspec.Struct):
    T: int
    s: str
    S: SideName
    v: float
    p: float


class _Ticker(msgspec.Struct, rename="camel"):
    symbol: str
    mark_price: str = ""
    index_price: str = ""
    open_interest: str = ""
    funding_rate: str = ""
    next_funding_time: str = ""
    last_price: str = ""


class _Clock(msgspec.Struct):
    wall_anchor_ns: int
    session_anchor_ns: int
    rate: float


class _Session(msgspec.Struct):
    session: str
    instrument: str
    symbol: str
    provenance: Literal["SIMULATED", "RECORDED", "LIVE"]
    clock: _Clock
    state: SourceState


class _Sessions(msgspec.Struct):
    sessions: list[_Session]


_envelope = msgspec.json.Decoder(_Envelope)
_book = msgspec.json.Decoder(_Book, strict=False)
_trades = msgspec.json.Decoder(list[_Trade], strict=False)
_liquidations = msgspec.json.Decoder(list[_Liquidation], strict=False)
_ticker = msgspec.json.Decoder(_Ticker)
_sessions = msgspec.json.Decoder(list[_Session])
_sessions_answer = msgspec.json.Decoder(_Sessions)


class FrameReader:
    """Reads the frames of one symbol; remembers the funding terms, because a ticker says only what changed."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._funding: tuple[float | None, int | None] = (None, None)

    def read(self, frame: bytes | str) -> MarketFrame | Reply | Announced:
        """Raises BadFrame."""
        try:
            envelope = _envelope.decode(frame)
        except UNREADABLE as error:
            raise BadFrame(Channel.ALL, f"not a frame: {error}") from error
        if not envelope.topic:
            if not envelope.op:
                raise BadFrame(Channel.ALL, "neither a topic nor an operation")
            return Reply(envelope.op, envelope.success, envelope.ret_msg, envelope.req_id)
        if envelope.topic == SESSIONS_TOPIC:
            return Announced(_decoded_sessions(envelope.data))
        channel = CHANNELS.get(envelope.topic.partition(".")[0])
        if channel is None:
            raise BadFrame(Channel.ALL, f"unknown topic {envelope.topic}")
        try:
            return MarketFrame(channel, self._events(channel, envelope))
        except UNREADABLE as error:
            raise BadFrame(channel, f"{envelope.topic}: {error}") from error

    def _events(self, channel: Channel, envelope: _Envelope) -> tuple[MarketEvent, ...]:
        if channel is Channel.BOOK:
            return (self._book_update(envelope),)
        if channel is Channel.TRADES:
            trades = _trades.decode(envelope.data)
            return tuple([self._trade(trade) for trade in trades])
        if channel is Channel.LIQUIDATIONS:
            return tuple(self._liquidation(each) for each in _liquidations.decode(envelope.data))
        return self._ticker_change(envelope)

    def _book_update(self, envelope: _Envelope) -> BookUpdate:
        book = _book.decode(envelope.data)
        time = envelope.cts or envelope.ts
        self._check(Channel.BOOK, book.s, time)
        if envelope.type not in ("snapshot", "delta"):
            _refuse(Channel.BOOK, f"a book frame of type {envelope.type!r}")
        if not 0 <= book.u < MAX_ID:
            _refuse(Channel.BOOK, f"update id {book.u}")
        levels = book.b + book.a
        # a sum is finite only when every one of its terms is; min alone may overlook a NaN
        if levels and not (
            isfinite(sum([price + size for price, size in levels]))
            and min([price for price, _ in levels]) > 0.0
            and min([size for _, size in levels]) >= 0.0
        ):
            _refuse(Channel.BOOK, f"a price or size out of range in update {book.u}")
        # the venue restarts its ids at 1, with a whole book
        return BookUpdate(time * NS_PER_MS, book.u, envelope.type == "snapshot" or book.u == 1, book.b, book.a)

    def _trade(self, trade: _Trade) -> Trade:
        self._check(Channel.TRADES, trade.s, trade.T)
        if not (trade.p > 0.0 and trade.v > 0.0 and isfinite(trade.p + trade.v) and trade.i):
            _refuse(Channel.TRADES, f"trade {trade.i!r} of {trade.v} at {trade.p}")
        return Trade(trade.T * NS_PER_MS, trade.p, trade.v, SIDES[trade.S], trade.i)

    def _liquidation(self, each: _Liquidation) -> Liquidation:
        self._check(Channel.LIQUIDATIONS, each.s, each.T)
        if not (each.p > 0.0 and each.v > 0.0 and isfinite(each.p + each.v)):
            _refuse(Channel.LIQUIDATIONS, f"liquidation of {each.v} at {each.p}")
        return Liquidation(each.T * NS_PER_MS, SIDES[each.S], each.p, each.v)

    def _ticker_change(self, envelope: _Envelope) -> tuple[MarketEvent, ...]:
        ticker = _ticker.decode(envelope.data)
        self._check(Channel.TICKER, ticker.symbol, envelope.ts)
        rate, following = (
            _number("fundingRate", ticker.funding_rate),
            _number("nextFundingTime", ticker.next_funding_time),
        )
        if following is not None and not 0.0 <= following < MAX_TIME_MS:
            _refuse(Channel.TICKER, f"nextFundingTime is {ticker.next_funding_time!r}")
        known_rate, known_following = self._funding
        funded = rate is not None or following is not None
        self._funding = (
            rate if rate is not None else known_rate,
            int(following) * NS_PER_MS if following is not None else known_following,
        )
        event = Ticker(
            envelope.ts * NS_PER_MS,
            mark_price=_price("markPrice", ticker.mark_price),
            index_price=_price("indexPrice", ticker.index_price),
            funding_rate=self._funding[0] if funded else None,
            next_funding_time=self._funding[1] if funded else None,
            open_interest=_number("openInterest", ticker.open_interest),
            last_price=_price("lastPrice", ticker.last_price),
        )
        return () if event == Ticker(event.event_time) else (event,)

    def _check(self, channel: Channel, symbol: str, time_ms: int) -> None:
        if symbol != self._symbol:
            _refuse(channel, f"a frame about {symbol!r} instead of {self._symbol!r}")
        if not 0 < time_ms < MAX_TIME_MS:
            _refuse(channel, f"time {time_ms} is not milliseconds since 1970")


def read_sessions(body: bytes) -> tuple[Announcement, ...]:
    """The answer of /simulator/v1/sessions. Raises BadFrame."""
    try:
        return tuple(_announcement(session) for session in _sessions_answer.decode(body).sessions)
    except UNREADABLE as error:
        raise BadFrame(Channel.ALL, f"sessions: {error}") from error


def _decoded_sessions(data: msgspec.Raw) -> tuple[Announcement, ...]:
    try:
        return tuple(_announcement(session) for session in _sessions.decode(data))
    except UNREADABLE as error:
        raise BadFrame(Channel.ALL, f"{SESSIONS_TOPIC}: {error}") from error


def _announcement(session: _Session) -> Announcement:
    clock = session.clock
    anchored = 0 <= clock.wall_anchor_ns < MAX_ID and 0 <= clock.session_anchor_ns < MAX_ID
    runs = anchored and isfinite(clock.rate) and clock.rate >= 0.0
    if not (session.session and session.instrument.count(".") == 2 and runs):
        _refuse(Channel.ALL, f"a session without name, instrument or clock: {session}")
    return Announcement(
        session=session.session,
        instrument=session.instrument,
        symbol=session.symbol,
        provenance=Provenance[session.provenance],
        clock=SessionClock(clock.wall_anchor_ns, clock.session_anchor_ns, clock.rate),
        state=session.state,
    )


def _number(name: str, text: str) -> float | None:
    """The number in a ticker's field; None when it is empty."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        _refuse(Channel.TICKER, f"{name} is {text!r}")
    if not isfinite(value):
        _refuse(Channel.TICKER, f"{name} is {text!r}")
    return value


def _price(name: str, text: str) -> float | None:
    value = _number(name, text)
    if value is not None and value <= 0.0:
        _refuse(Channel.TICKER, f"{name} is {text!r}")
    return value


def _refuse(channel: Channel, reason: str) -> NoReturn:
    raise BadFrame(channel, reason)


def operation(op: str, request: str, topics: tuple[str, ...] = ()) -> str:
    """A frame of ours: subscribe, unsubscribe or ping."""
    body: dict[str, Any] = {"op": op, "req_id": request}
    return msgspec.json.encode(body | {"args": topics} if topics else body).decode()
