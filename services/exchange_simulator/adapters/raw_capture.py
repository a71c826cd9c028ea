"""Raw captures of Binance streams (`<local ns> <json>` lines, gzip) as market events, with the book's chain checked."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec

from libs.trading.market import BookUpdate, MarketEvent, Side, Trade

NS_PER_MS = 1_000_000
Levels = list[tuple[str, str]]


class RecordingProblem(SystemExit):
    """A recording that cannot be played; the message names the file and what is wrong with it."""


class Line(msgspec.Struct):
    """A combined-stream frame, or a depth snapshot by REST: which one, its fields say."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    last_update_id: int | None = msgspec.field(name="lastUpdateId", default=None)
    bids: Levels = []
    asks: Levels = []


class Depth(msgspec.Struct):
    """A change of the book; `previous` is the futures' own link to the frame before."""

    event_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    first: int = msgspec.field(name="U")
    final: int = msgspec.field(name="u")
    previous: int | None = msgspec.field(name="pu", default=None)
    bids: Levels = msgspec.field(name="b", default_factory=list)
    asks: Levels = msgspec.field(name="a", default_factory=list)


class Traded(msgspec.Struct):
    """A trade; a buyer who made means that the seller took."""

    time_ms: int = msgspec.field(name="T")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    size: str = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")


class Capture:
    """Reads capture files one after the other; the book of one file goes on in the next."""

    def __init__(self) -> None:
        self.instrument = ""
        self._final: int | None = None
        self._early: list[Depth] = []
        self._latest_ns = 0

    def events(self, path: Path) -> Iterator[tuple[int, list[MarketEvent]]]:
        """(local receive time in ns, events) of each line that says something. Raises `RecordingProblem`."""
        with gzip.open(path, "rt") as file:
            for number, text in enumerate(file, 1):
                local, _, body = text.partition(" ")
                try:
                    line = msgspec.json.decode(body, type=Line)
                    events = self._line(line)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise RecordingProblem(f"{path}, line {number}: {error}") from error
                if events:
                    yield int(local), events
        if self._final is None:
            raise RecordingProblem(
                f"{path}: no snapshot of the book, and no recording before it that it could continue"
            )

    def _line(self, line: Line) -> list[MarketEvent]:
        if line.last_update_id is not None:
            return self._snapshot(line, line.last_update_id)
        if line.stream.endswith("@trade"):
            return [self._trade(msgspec.json.decode(line.data, type=Traded))]
        if "@depth" in line.stream:
            return self._depth(msgspec.json.decode(line.data, type=Depth))
        if line.stream.endswith("@bookTicker"):
            return []  # says nothing that the depth stream does not
        raise ValueError(f"a stream of no known kind: {line.stream or 'none'}")

    def _trade(self, traded: Traded) -> Trade:
        side = Side.SELL if traded.buyer_is_maker else Side.BUY
        time_ns = traded.time_ms * NS_PER_MS
        self._latest_ns = max(self._latest_ns, time_ns)
        return Trade(time_ns, float(traded.price), float(traded.size), side, str(traded.trade_id))

    def _snapshot(self, line: Line, final: int) -> list[MarketEvent]:
        """The snapshot, then the changes that were received before it and belong after it."""
        events: list[MarketEvent] = [BookUpdate(self._latest_ns, final, True, _levels(line.bids), _levels(line.asks))]
        self._final = final
        early, self._early = [depth for depth in self._early if depth.final > final], []
        for place, depth in enumerate(early):
            events.append(self._update(depth, just_after_snapshot=place == 0))
        self._just_after_snapshot = not early
        return events

    _just_after_snapshot = False

    def _depth(self, depth: Depth) -> list[MarketEvent]:
        category = "spot" if depth.previous is None else "linear"
        self.instrument = self.instrument or f"binance.{category}.{depth.symbol}"
        self._latest_ns = max(self._latest_ns, depth.event_ms * NS_PER_MS)
        if self._final is None:
            self._early.append(depth)
            return []
        if depth.final <= self._final:
            return []
        update = self._update(depth, self._just_after_snapshot)
        self._just_after_snapshot = False
        return [update]

    def _update(self, depth: Depth, just_after_snapshot: bool) -> BookUpdate:
        """Spot: the first id follows the last final one. Futures: `previous` is the last final one."""
        follows = depth.first <= (self._final or 0) + 1 <= depth.final + (depth.previous is not None)
        chained = follows if just_after_snapshot or depth.previous is None else depth.previous == self._final
        if not chained:
            raise ValueError(
                f"the book's chain is broken: update {depth.first}..{depth.final} does not follow {self._final}"
            )
        self._final = depth.final
        time_ns = depth.event_ms * NS_PER_MS
        return BookUpdate(time_ns, depth.final, False, _levels(depth.bids), _levels(depth.asks))


def _levels(levels: Levels) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in levels]
