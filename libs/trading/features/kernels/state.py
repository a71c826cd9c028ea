"""The engine's whole state as one fixed record of numbers, so that a snapshot is its bytes."""

from __future__ import annotations

import hashlib
import inspect
import math
from enum import IntEnum
from types import ModuleType
from typing import Any

import numpy as np

from libs.trading import bars, book
from libs.trading.features.catalogue import N_FEATURES
from libs.trading.features.kernels.trade_ids import TRADE_IDS, TRADE_TABLE
from libs.trading.features.spec import FeatureSpec
from libs.trading.market import EVENT_DTYPE, NS_PER_SECOND

LATENESS_NS = NS_PER_SECOND  # a Tick moves the watermark to its time less this
AHEAD_NS = 2 * NS_PER_SECOND  # an event time further ahead of received time never moves the watermark
LONGEST_QUIET_NS = 7 * 86_400 * NS_PER_SECOND  # a longer silence is a gap, not a stretch of equal vectors
BUCKETS = 1024  # ring of flow buckets; the longest window (30 s) must fit
LONGEST_WINDOW_NS = 30 * NS_PER_SECOND
SAMPLE_NS = NS_PER_SECOND  # sampling period of the mid price for realised volatility
N_CHANNELS = 7  # indexed by market.Channel

BARS_UNDECIDED, BARS_FROM_TRADES, BARS_IMPORTED = 0, 1, 2


class Counter(IntEnum):
    """What `counters` of the state counts, since the session began."""

    TRADES = 0
    BOOK_FRAMES = 1
    VECTORS = 2
    LATE = 3  # behind the watermark: applied at the watermark
    AHEAD = 4  # more than 2 s ahead of received time: applied at the watermark, moved nothing
    DUPLICATE_TRADES = 5
    GAPS = 6
    UNSYNCED_FRAMES = 7  # deltas before a snapshot: ignored
    STALE_FRAMES = 8  # update id behind the book's: ignored
    BROKEN_BOOKS = 9  # one-sided or crossed after a frame
    BARS_REFUSED = 10  # wrong length, out of order, or both kinds of bars
    BARS_CLOSED = 11
    BARS_BROKEN = 12  # history forgotten because a bar was missing or partial
    OLD_EPOCH = 13  # records dropped because a newer ingester has spoken
    LEAPS = 14  # a quiet stretch too long to be filled with vectors
    IMPOSSIBLE_ROWS = 15  # prices or sizes that are not finite and positive: ignored


_FIELDS: list[Any] = [
    # geometry, ns
    ("emission", "<i8"),
    ("bar", "<i8"),
    ("bucket", "<i8"),
    # time, ns
    ("watermark", "<i8"),
    ("bucket_end", "<i8"),
    ("started", "<i8"),
    ("row_applied", "<i8"),
    ("seen", "<i8", (N_CHANNELS,)),  # event time of the last event per channel; -1 never
    ("whole_from", "<i8", (N_CHANNELS,)),  # nothing of the channel is missing since then
    ("whole_cause", "<i8", (N_CHANNELS,)),  # NotReady while a window reaches behind whole_from
    ("counters", "<i8", (len(Counter),)),
    # book
    ("bid_price", "<f8", (book.MAX_LEVELS,)),
    ("bid_size", "<f8", (book.MAX_LEVELS,)),
    ("ask_price", "<f8", (book.MAX_LEVELS,)),
    ("ask_size", "<f8", (book.MAX_LEVELS,)),
    ("n_bid", "<i8"),
    ("n_ask", "<i8"),
    ("synced", "<i8"),
    ("update_id", "<i8"),
    ("frame_skip", "<i8"),
    ("frame_restart", "<i8"),  # this frame is a snapshot that may hide lost flow
    ("frame_snapshot", "<i8"),
    ("book_reason", "<i8"),  # NotReady of what reads the book now
    ("best", "<f8", (4,)),  # bid, bid size, ask, ask size of the last frame
    ("mid", "<f8"),
    # flow, per bucket
    ("flow", "<f8", (3,)),  # running bucket: order-flow imbalance, taker buys, taker sells
    ("ofi", "<f8", (BUCKETS,)),
    ("buys", "<f8", (BUCKETS,)),
    ("sells", "<f8", (BUCKETS,)),
    ("mids", "<f8", (BUCKETS,)),
    ("n_buckets", "<i8"),
    # trades
    ("last_price", "<f8"),
    ("trade_ids", "<i8", (TRADE_IDS,)),
    ("trade_table", "<i8", (TRADE_TABLE,)),
    ("n_trade_ids", "<i8"),
    # bars
    ("bar_mode", "<i8"),
    ("bar_has_trade", "<i8"),
    ("running", "<f8", (5,)),  # open, high, low, close, volume of the running bar, from trades
    ("staged", "<f8", (5,)),  # the same of an imported bar whose rows are arriving
    ("staged_open_time", "<i8"),
    ("carried_close", "<f8"),
    ("last_bar_end", "<i8"),
    ("n_bars", "<i8"),
    ("bars_cause", "<i8"),
    ("bar_close", "<f8", (bars.RING,)),
    ("bar_high", "<f8", (bars.RING,)),
    ("bar_low", "<f8", (bars.RING,)),
    ("bar_volume", "<f8", (bars.RING,)),
    ("emas", "<f8", (5,)),
    ("bar_values", "<f8", (bars.N_VALUES,)),
]
LAYOUT = hashlib.sha256(repr(_FIELDS).encode()).hexdigest()[:16]


def source_digest(*modules: ModuleType) -> str:
    return hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()[:16]


# Compiled kernels are cached on disk by the types of their arguments and the age of one file. The state's type carries
# a digest of the other files that they are made of, so that an edited formula can never meet an old compilation.
def state_dtype(digest: str) -> np.dtype[np.void]:
    return np.dtype([*_FIELDS, (f"made_of_{digest}", "<i8")], align=True)


# The rows of `EVENT_DTYPE` without their padding field, which compiled code cannot name; the bytes are the same.
_NAMES = [name for name in EVENT_DTYPE.names or () if name != "pad"]
_PLACES: Any = EVENT_DTYPE.fields
_ROW: Any = {
    "names": _NAMES,
    "formats": [EVENT_DTYPE[name] for name in _NAMES],
    "offsets": [_PLACES[name][1] for name in _NAMES],
    "itemsize": EVENT_DTYPE.itemsize,
}
ROW_DTYPE: np.dtype[np.void] = np.dtype(_ROW)

OUTPUT_DTYPE = np.dtype(
    [
        ("as_of", "<i8"),
        ("crossing_time", "<i8"),  # event time of the row that crossed the boundary
        ("record", "<i8"),  # which record of the call that row belongs to
        ("last_price", "<f8"),  # NaN: none
        ("quote", "<f8", (4,)),  # bid, bid size, ask, ask size; NaN: no valid book
        ("ages", "<i8", (N_CHANNELS,)),  # ns; -1 never
        ("values", "<f4", (N_FEATURES,)),
        ("reasons", "u1", (N_FEATURES,)),
    ],
    align=True,
)


def bucket_length(spec: FeatureSpec) -> int:
    """The length (ns) of the buckets that flow is summed in: it divides emission, bar and sampling period.

    Raises ValueError when an interval is not positive, or when they have so little in common that the longest window
    does not fit the ring (a bucket under 30 ms).
    """
    if spec.emission_interval <= 0 or spec.bar_interval <= 0:
        raise ValueError(f"emission {spec.emission_interval} ns and bar {spec.bar_interval} ns must be positive")
    bucket = math.gcd(spec.emission_interval, spec.bar_interval, SAMPLE_NS)
    if LONGEST_WINDOW_NS // bucket >= BUCKETS:
        raise ValueError(
            f"emission {spec.emission_interval} ns and bar {spec.bar_interval} ns share only {bucket} ns with the "
            f"sampling period of 1 s; the 30 s windows need buckets of at least {LONGEST_WINDOW_NS // (BUCKETS - 1)} ns"
        )
    return bucket
