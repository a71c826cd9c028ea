"""Real recorded frames of tests' data folders as records of market events."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from libs.trading.market import (
    WALL_CLOCK,
    Bar,
    BookUpdate,
    Channel,
    FeedGap,
    MarketEvent,
    MarketRecord,
    Provenance,
    RecordHead,
    Side,
    Trade,
)
from libs.wire.rows import rows_of

MS = 1_000_000
RECORDER_BEHIND_NS = 1_300_000_000  # the recorder's clock is 1.27 s behind the exchange's (README of the data)
BINANCE = "binance.spot.BTCUSDT"
BYBIT = "bybit.linear.BTCUSDT"


def binance_frames(path: Path, limit: int | None = None) -> Iterator[tuple[int, list[MarketEvent]]]:
    """(corrected receive time, events) of each depth and trade frame of a raw capture with a REST snapshot in it.

    Depth frames before the snapshot are kept back, and those that it already contains are left out.
    """
    held: list[BookUpdate] = []
    synced_at: int | None = None
    newest = 0
    with gzip.open(path, "rt") as lines:
        for number, line in enumerate(lines):
            if limit is not None and number >= limit:
                return
            stamp, text = line.split(" ", 1)
            received = int(stamp) + RECORDER_BEHIND_NS
            frame: dict[str, Any] = json.loads(text)
            data = frame.get("data", frame)
            if "lastUpdateId" in data:
                synced_at = int(data["lastUpdateId"])
                snapshot = BookUpdate(newest, synced_at, True, levels(data["bids"]), levels(data["asks"]))
                yield received, [snapshot, *(update for update in held if update.update_id > synced_at)]
            elif data.get("e") == "depthUpdate":
                newest = data.get("T", data["E"]) * MS
                update = BookUpdate(newest, int(data["u"]), False, levels(data["b"]), levels(data["a"]))
                if synced_at is None:
                    held.append(update)
                elif update.update_id > synced_at:
                    yield received, [update]
            elif data.get("e") == "trade" and data.get("X", "MARKET") == "MARKET":
                newest = max(newest, data["T"] * MS)
                side = Side.SELL if data["m"] else Side.BUY
                yield received, [Trade(data["T"] * MS, float(data["p"]), float(data["q"]), side, str(data["t"]))]


def levels(pairs: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in pairs]


def recorded_head(instrument: str, received: int, seq: int, epoch: int = 1, session: str = "recording") -> RecordHead:
    return RecordHead(instrument, session, epoch, seq, Provenance.RECORDED, received, WALL_CLOCK)


def binance_events(path: Path, limit: int | None = None) -> list[tuple[RecordHead, list[MarketEvent]]]:
    """Heads and events, the opening gap of the session first."""
    frames = list(binance_frames(path, limit))
    first = frames[0][0]
    opening: list[MarketEvent] = [FeedGap(first, Channel.ALL, 0, 0, "start")]
    pairs = [(first, opening), *frames]
    return [(recorded_head(BINANCE, received, seq), events) for seq, (received, events) in enumerate(pairs)]


def as_records(pairs: Sequence[tuple[RecordHead, list[MarketEvent]]]) -> list[MarketRecord]:
    return [MarketRecord(head, rows_of(events)) for head, events in pairs]


def bybit_bars(path: Path, limit: int | None = None) -> list[Bar]:
    """Five-minute bars of a Parquet file (date, open, high, low, close, volume)."""
    frame = pl.read_parquet(path).head(limit if limit is not None else 10**9)
    opens = frame["date"].cast(pl.Datetime("ns")).cast(pl.Int64).to_numpy()
    columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    step = int(np.diff(opens[:2])[0])
    return [
        Bar(int(start), int(start) + step, *(float(column[i]) for column in columns)) for i, start in enumerate(opens)
    ]


def bar_records(bars: Sequence[Bar]) -> list[MarketRecord]:
    """One record per bar, received two seconds after its close."""
    return [
        MarketRecord(recorded_head(BYBIT, bar.close_time + 2_000_000_000, seq), rows_of([bar]))
        for seq, bar in enumerate(bars)
    ]
