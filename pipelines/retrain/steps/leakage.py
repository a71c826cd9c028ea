"""The leakage canary: replay a log twice, the second time with its future shuffled, and compare the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketRecord, RowKind
from pipelines.retrain.gates.integrity import Canary, Vectors, canary

Replay = Callable[[Sequence[MarketRecord]], Iterable[FeatureVector]]

FIXED = (RowKind.TICK, RowKind.GAP, RowKind.END)  # they carry time and order, not the market
CUTS = 8  # a short look ahead shows only just before a cut, so there are several, at places drawn by lot
WARM_SHARE = 0.4  # of the records, before the first cut


def leakage_canary(replay: Replay, records: Sequence[MarketRecord], seed: int) -> Canary:
    """Run the canary over one instrument's records of one session, in log order, at several cuts; counts are summed.

    `replay` is the feature engine over records. Contents of the records after a cut change places; their times stay.
    A log too short to cut gives a canary that compared nothing, which refuses.
    """
    before = _vectors(replay(records))
    rng = np.random.default_rng(seed)
    first = max(1, int(len(records) * WARM_SHARE))
    places = rng.integers(first, len(records), CUTS).tolist() if first < len(records) else []
    found = [_at(place, before, replay, records, rng) for place in places]
    return Canary(sum(f.compared for f in found), sum(f.changed for f in found), sum(f.planted_changed for f in found))


def _at(
    place: int, before: Vectors, replay: Replay, records: Sequence[MarketRecord], rng: np.random.Generator
) -> Canary:
    cut = max(int(record.rows["event_time"].max()) for record in records[:place])
    future = [i for i, r in enumerate(records) if i >= place and _late(r, cut) and not _fixed(r)]
    order = rng.permutation(len(future))
    shuffled = list(records)
    for at, source in zip(future, order, strict=True):
        shuffled[at] = _moved(records[future[int(source)]], records[at])
    return canary(before, _vectors(replay(shuffled)), cut)


def _late(record: MarketRecord, cut: int) -> bool:
    return bool(record.rows["event_time"].min() > cut)


def _fixed(record: MarketRecord) -> bool:
    return bool(np.isin(record.rows["kind"], FIXED).any())


def _moved(content: MarketRecord, place: MarketRecord) -> MarketRecord:
    """The rows of `content` at the time and under the head of `place`."""
    rows = content.rows.copy()
    rows["event_time"] += place.rows["event_time"][0] - rows["event_time"][0]
    return replace(place, rows=rows)


def _vectors(found: Iterable[FeatureVector]) -> Vectors:
    vectors = list(found)
    values: NDArray[np.float32] = np.stack([v.values for v in vectors]) if vectors else np.zeros((0, 1), np.float32)
    return Vectors(np.array([v.as_of for v in vectors], np.int64), values)
