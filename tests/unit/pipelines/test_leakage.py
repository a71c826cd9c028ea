"""The canary over real replays: the feature engine is blind to the future, and engines that peek are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from libs.trading.features.catalogue import column, full_spec
from libs.trading.features.replay import replay
from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketEvent, MarketRecord, Side, Tick
from libs.wire.rows import rows_of
from pipelines.retrain.gates.integrity import Canary, leakage
from pipelines.retrain.steps.leakage import leakage_canary
from tests.builders.market import a_book, a_head, a_trade

SECOND = 10**9
START = 1_700_000_000 * SECOND
SPEC = full_spec(bar_interval=SECOND, emission_interval=SECOND // 4)


def a_log(seconds: int = 60) -> list[MarketRecord]:
    rng = np.random.default_rng(1)
    price, records = 100.0, []
    for i in range(seconds * 5):
        time = START + i * SECOND // 5
        price += float(rng.normal(0, 0.02))
        bid = round(price, 2)
        events: list[MarketEvent]
        if i % 10 == 9:
            events = [Tick(time)]
        elif i % 2:
            side = Side.BUY if rng.random() < 0.5 else Side.SELL
            events = [
                a_trade(event_time=time, price=bid, size=float(rng.uniform(0.1, 2)), taker_side=side, trade_id=str(i))
            ]
        else:
            levels = [(round(bid - k * 0.01, 2), float(rng.uniform(1, 5))) for k in range(1, 6)]
            others = [(round(bid + k * 0.01, 2), float(rng.uniform(1, 5))) for k in range(1, 6)]
            events = [a_book(event_time=time, update_id=i, snapshot=True, bids=levels, asks=others)]
        records.append(MarketRecord(a_head(received_time=time, seq=i), rows_of(events)))
    return records


def honest(records: Sequence[MarketRecord]) -> Iterable[FeatureVector]:
    return replay(SPEC, records)


def peeking(records: Sequence[MarketRecord]) -> Iterable[FeatureVector]:
    """An engine with one feature that is the next vector's: a back-fill, a centred window, an unpurged join."""
    vectors = list(replay(SPEC, records))
    at = column("imbalance_1")
    for vector, following in pairwise(vectors):
        values = vector.values.copy()
        values[at] = following.values[at]
        yield replace(vector, values=values)


def full_sample(records: Sequence[MarketRecord]) -> Iterable[FeatureVector]:
    """An engine with one feature scaled by the whole sample's mean."""
    vectors = list(replay(SPEC, records))
    at = column("imbalance_1")
    mean = float(np.nanmean([v.values[at] for v in vectors]))
    return [replace(v, values=np.where(np.arange(v.values.size) == at, v.values - mean, v.values)) for v in vectors]


def test_the_feature_engine_does_not_see_the_future() -> None:
    found = leakage_canary(honest, a_log(), 1)
    assert found.compared > 100
    assert found.changed == 0
    assert found.planted_changed > 0
    assert leakage(found).passed


def test_engines_that_look_ahead_are_found() -> None:
    for engine in (peeking, full_sample):
        found = leakage_canary(engine, a_log(), 1)
        assert found.changed > 0
        assert not leakage(found).passed


def test_a_log_too_short_to_cut_refuses() -> None:
    assert leakage_canary(honest, a_log()[:1], 1) == Canary(0, 0, 0)
    assert not leakage(Canary(0, 0, 0)).passed


def test_the_same_seed_shuffles_the_same_way() -> None:
    assert leakage_canary(honest, a_log(), 3) == leakage_canary(honest, a_log(), 3)
