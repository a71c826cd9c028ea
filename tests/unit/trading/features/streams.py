"""Random but possible markets: event lists and records as a venue could have sent them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from libs.trading.market import (
    WALL_CLOCK,
    BookUpdate,
    Channel,
    FeedGap,
    MarketEvent,
    MarketRecord,
    Provenance,
    RecordHead,
    Side,
    Tick,
    Trade,
)
from libs.wire.rows import rows_of

START = 1_700_000_000_000_000_000
MS = 1_000_000
INSTRUMENT = "bybit.linear.BTCUSDT"


def a_stream(
    seed: int, count: int, *, gaps: bool = True, mess: bool = True, step_ms: int = 120
) -> list[list[MarketEvent]]:
    """Frames: an opening gap, a snapshot, then trades and deltas; with `mess` late and repeated trades, ticks and
    silence, stale deltas, crossed books; with `gaps` losses of a channel, each repaired by a snapshot."""
    rng = random.Random(seed)
    time, update, trade_id, mid = START + rng.randrange(1000) * MS, 10, 0, 10_000
    frames: list[list[MarketEvent]] = [[FeedGap(time, Channel.ALL, 0, 0, "start")], [snapshot(rng, time, update, mid)]]
    past: list[Trade] = []
    for _ in range(count):
        time += rng.randrange(1, 2 * step_ms) * MS
        mid += rng.choice((-1, 0, 0, 1))
        kind = rng.random()
        if kind < 0.45:
            burst = []
            for _ in range(rng.randrange(1, 4)):
                trade_id += 1
                side = rng.choice((Side.BUY, Side.SELL))
                burst.append(
                    Trade(time, (mid + rng.randrange(-2, 3)) / 10, rng.randrange(1, 500) / 1000, side, str(trade_id))
                )
            past.extend(burst)
            frames.append(list(burst))
        elif kind < 0.9:
            update += 1
            frames.append([delta(rng, time, update, mid)])
        elif mess:
            time, update = some_mess(rng, frames, time, update, mid, past)
        if gaps and rng.random() < 0.01:
            channel = rng.choice((Channel.BOOK, Channel.TRADES, Channel.ALL))
            frames.append([FeedGap(time + rng.randrange(500) * MS, channel, 0, 0, "lost")])
            update += 5
            frames.append([snapshot(rng, time, update, mid)])
    return frames


def some_mess(
    rng: random.Random, frames: list[list[MarketEvent]], time: int, update: int, mid: int, past: Sequence[Trade]
) -> tuple[int, int]:
    kind = rng.randrange(7)
    if kind == 0 and past:
        frames.append([rng.choice(past[-50:])])
    elif kind == 1:
        frames.append([Trade(time - rng.randrange(3000) * MS, mid / 10, 0.25, Side.BUY, f"late-{len(frames)}")])
    elif kind == 2:
        time += rng.randrange(500, 4000) * MS
        frames.append([Tick(time)])
    elif kind == 3:
        frames.append([delta(rng, time, update - 2, mid)])
    elif kind == 4:
        frames.append([snapshot(rng, time, update, mid)])
    elif kind == 5:
        update += 1
        frames.append([BookUpdate(time, update, False, [((mid + 60) / 10, 1.0)], [])])
        update += 1
        frames.append([BookUpdate(time, update, False, [((mid + 60) / 10, 0.0)], [])])
    else:
        update += 1
        frames.append([BookUpdate(time, update, False, [], [])])
    return time, update


def snapshot(rng: random.Random, time: int, update: int, mid: int) -> BookUpdate:
    bids = [((mid - 1 - k) / 10, rng.randrange(1, 900) / 100) for k in range(rng.randrange(1, 40))]
    asks = [((mid + 1 + k) / 10, rng.randrange(1, 900) / 100) for k in range(rng.randrange(1, 40))]
    return BookUpdate(time, update, True, bids, asks)


def delta(rng: random.Random, time: int, update: int, mid: int) -> BookUpdate:
    """Sizes around the mid; whatever is on the wrong side of it is deleted, so that the book stays a book."""
    bids = [((mid + k) / 10, 0.0) for k in range(6)] + [((mid - 1 - k) / 10, size(rng)) for k in picks(rng)]
    asks = [((mid - k) / 10, 0.0) for k in range(6)] + [((mid + 1 + k) / 10, size(rng)) for k in picks(rng)]
    rng.shuffle(bids)
    return BookUpdate(time, update, False, bids, asks)


def picks(rng: random.Random) -> list[int]:
    return rng.sample(range(30), rng.randrange(1, 5))


def size(rng: random.Random) -> float:
    return 0.0 if rng.random() < 0.3 else rng.randrange(1, 900) / 100


def records_of(frames: Sequence[Sequence[MarketEvent]], session: str = "s-1") -> list[MarketRecord]:
    """One record per frame, received as its newest event was made."""
    records, newest = [], START
    for seq, events in enumerate(frames):
        newest = max([newest, *(getattr(event, "event_time", getattr(event, "time", 0)) for event in events)])
        head = RecordHead(INSTRUMENT, session, 1, seq, Provenance.SIMULATED, newest + MS, WALL_CLOCK)
        records.append(MarketRecord(head, rows_of(list(events))))
    return records
