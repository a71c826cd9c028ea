"""Real bars from Parquet files as the same log that ingestion writes: one record per closed bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from libs.bundle.digest import array_digest
from libs.trading.market import WALL_CLOCK, Bar, Channel, FeedGap, MarketEvent, MarketRecord, Provenance, RecordHead
from libs.wire.market import rows_of
from pipelines.retrain.adapters.run_folder import RunError

NAMES = ("date", "open", "high", "low", "close", "volume")
PATTERN = "*_5m_futures.parquet"
INTERVAL_NS = 300 * 10**9


def bar_files(folder: Path) -> list[Path]:
    """The 5-minute bar files `<SYMBOL>_5m_futures.parquet` of a folder. Raises RunError when there are none."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    found = sorted(folder.glob(PATTERN))
    if not found:
        raise RunError(f"{folder}: no bar files ({PATTERN})")
    return found


def bar_log(file: Path, known_after_ns: int) -> Iterator[MarketRecord]:
    """One record per bar, oldest first; its received time is its close + `known_after_ns`, which is an assumption.

    A missing bar becomes a FeedGap. The session is named by the content, so the same file is the same session.
    Raises RunError for missing columns, numbers that are no prices, or times that do not ascend.
    """
    columns = _columns(file)
    opened = columns["date"].astype("datetime64[ns]").astype(np.int64)
    prices = np.stack([columns[name].astype(np.float64) for name in NAMES[1:]], axis=1)
    if opened.size == 0 or np.diff(opened).min(initial=1) <= 0:
        raise RunError(f"{file.name}: times do not ascend, or there are none")
    if not (np.isfinite(prices).all() and (prices[:, :4] > 0).all() and (prices[:, 4] >= 0).all()):
        raise RunError(f"{file.name}: a price is not positive, or a volume negative")
    symbol = file.name.split("_")[0]
    session = f"bars-{symbol}-{array_digest(opened, prices)[:12]}"
    instrument = f"bybit.linear.{symbol}"
    before = int(opened[0])
    for seq, (begin, row) in enumerate(zip(opened.tolist(), prices.tolist(), strict=True)):
        end = begin + INTERVAL_NS
        head = RecordHead(instrument, session, 0, seq, Provenance.RECORDED, end + known_after_ns, WALL_CLOCK)
        events: list[MarketEvent] = [Bar(begin, end, *row)]
        if begin != before:
            events.insert(0, FeedGap(before, Channel.BARS, 0, 0, f"no bars for {begin - before} ns"))
        yield MarketRecord(head, rows_of(events))
        before = end


def _columns(file: Path) -> dict[str, np.ndarray]:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{file.name}: {error}") from error
    if missing := [name for name in NAMES if name not in table.column_names]:
        raise RunError(f"{file.name}: missing columns {', '.join(missing)}")
    return {name: table.column(name).to_numpy() for name in NAMES}
