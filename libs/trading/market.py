"""What a venue says about one instrument, as plain values and as rows that kernels can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

NS_PER_SECOND = 1_000_000_000


class Provenance(IntEnum):
    """Where data come from; the order is the order of trust, and a result has the lowest of its inputs."""

    SIMULATED = 1
    RECORDED = 2
    LIVE = 3


class Side(IntEnum):
    BUY = 1
    SELL = 2


class Channel(IntEnum):
    BOOK = 1
    TRADES = 2
    TICKER = 3
    LIQUIDATIONS = 4
    BARS = 5
    ALL = 6


class RowKind(IntEnum):
    """What one row of `EVENT_DTYPE` means, and what its columns hold.

    ========== ============== ===================== ============= =========== =====================
    kind       side           price                 size          value       flags
    ========== ============== ===================== ============= =========== =====================
    TRADE      of the taker   price                 base units    trade id    -
    BOOK_LEVEL of the level   price                 base, 0=gone  update id   SNAPSHOT, FIRST, LAST
    MARK       0              mark price            -             -           -
    INDEX      0              index price           -             -           -
    FUNDING    0              funding rate          -             next (ns)   -
    OPEN_INT   0              open interest (base)  -             -           -
    LAST_PRICE 0              last price            -             -           -
    LIQUIDATED of the position bankruptcy price     base units    -           -
    TICK       0              -                     -             -           -
    GAP        channel        -                     -             -           -
    BAR_OPEN   0              open                  volume        open (ns)   -, then BAR_RANGE and BAR_CLOSE
    BAR_RANGE  0              high                  low           -           -
    BAR_CLOSE  0              close                 -             -           SEED when it only warms
    END        0              -                     -             -           -
    ========== ============== ===================== ============= =========== =====================

    `event_time` of a bar's rows is its close. `value` is an int64; a trade id that is no number is hashed to 63 bits.
    """

    TRADE = 1
    BOOK_LEVEL = 2
    MARK = 3
    INDEX = 4
    FUNDING = 5
    OPEN_INT = 6
    LAST_PRICE = 7
    LIQUIDATED = 8
    TICK = 9
    GAP = 10
    BAR_OPEN = 11
    BAR_RANGE = 12
    BAR_CLOSE = 13
    END = 14


FLAG_SNAPSHOT = 1  # this book frame replaces the book
FLAG_FIRST = 2  # first row of a book frame
FLAG_LAST = 4  # last row of a book frame; an empty frame is one row of size 0 at price NaN with FIRST | LAST
FLAG_SEED = 8

EVENT_DTYPE = np.dtype(
    [
        ("event_time", "<i8"),
        ("value", "<i8"),
        ("price", "<f8"),
        ("size", "<f8"),
        ("kind", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("pad", "V5"),
    ]
)

Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class SessionClock:
    """`session_time = session_anchor_ns + rate * (wall_time - wall_anchor_ns)`; rate 0 is a clock that waits."""

    wall_anchor_ns: int
    session_anchor_ns: int
    rate: float

    def session_time(self, wall_ns: int) -> int:
        """Session time (ns since 1970 UTC) at a wall time (ns since 1970 UTC)."""
        if self.rate == 1.0:
            return self.session_anchor_ns + wall_ns - self.wall_anchor_ns
        return self.session_anchor_ns + int(self.rate * (wall_ns - self.wall_anchor_ns))


WALL_CLOCK = SessionClock(0, 0, 1.0)


@dataclass(frozen=True, slots=True)
class Quote:
    """Best prices (quote units) and sizes (base units) at one moment."""

    bid: float
    bid_size: float
    ask: float
    ask_size: float

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2.0


@dataclass(frozen=True, slots=True)
class Trade:
    event_time: int
    price: float
    size: float
    taker_side: Side
    trade_id: str


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """Levels are (price, size); a size of 0 deletes a level; a snapshot replaces the whole book."""

    event_time: int
    update_id: int
    snapshot: bool
    bids: Sequence[tuple[float, float]]
    asks: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Ticker:
    """Only what changed is present; the rest is None."""

    event_time: int
    mark_price: float | None = None
    index_price: float | None = None
    funding_rate: float | None = None
    next_funding_time: int | None = None
    open_interest: float | None = None
    last_price: float | None = None


@dataclass(frozen=True, slots=True)
class Liquidation:
    """`position_side` BUY: a long was liquidated."""

    event_time: int
    position_side: Side
    bankruptcy_price: float
    size: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing was said up to this time."""

    time: int


@dataclass(frozen=True, slots=True)
class FeedGap:
    event_time: int
    channel: Channel
    from_update_id: int
    to_update_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A closed bar over [open_time, close_time) in ns; volume in base units."""

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class SessionEnd:
    event_time: int


@dataclass(frozen=True, slots=True)
class Seed:
    """Confirmed bars that warm long windows."""

    bars: Sequence[Bar]


MarketEvent = Trade | BookUpdate | Ticker | Liquidation | Tick | FeedGap | Bar | SessionEnd | Seed


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What is true of every event of one record. Times are ns since 1970 UTC in session time."""

    instrument: str
    session: str
    epoch: int
    seq: int
    provenance: Provenance
    received_time: int
    clock: SessionClock


@dataclass(frozen=True, slots=True)
class MarketRecord:
    """One venue frame about one instrument, as rows of `EVENT_DTYPE` in frame order."""

    head: RecordHead
    rows: Rows
