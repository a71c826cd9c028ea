"""The engine's values are those of a naive computation from the raw events, on random and on recorded markets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from libs.trading.features.catalogue import CORE12, full_spec
from libs.trading.features.replay import replay
from libs.trading.features.spec import NotReady
from libs.trading.features.vector import FeatureVector
from libs.trading.market import NS_PER_SECOND
from tests.builders.recordings import as_records, bar_records, binance_events, bybit_bars
from tests.unit.trading.features.oracle import Oracle, bar_table
from tests.unit.trading.features.streams import MS, a_stream, records_of

ABSOLUTE = {"macd": 1e-6, "macd_signal": 1e-6, "rsi_14": 1e-4, "microprice_bps": 1e-6}


def assert_same(
    vectors: Iterable[FeatureVector], expected: Mapping[int, Mapping[str, float]], names: tuple[str, ...]
) -> int:
    """Every vector is expected and every expectation came, to float32; returns how many values were numbers."""
    got = {vector.as_of: vector for vector in vectors}
    assert sorted(got) == sorted(expected)
    numbers = 0
    for as_of, vector in got.items():
        for name, value, reason in zip(names, vector.values, vector.reasons, strict=True):
            want = np.float32(expected[as_of][name])
            note = f"{name} as of {as_of}: {value} ({NotReady(reason).name}), naively {want}"
            assert np.isnan(value) == np.isnan(want), note
            assert (reason == NotReady.READY) == (not np.isnan(value)), note
            if not np.isnan(want):
                numbers += 1
                assert value == pytest.approx(want, rel=3e-6, abs=ABSOLUTE.get(name, 1e-9)), note
    return numbers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("bar_s", "emission_ms"), [(1, 250), (2, 1000), (3, 2000)])
def test_agrees_with_the_oracle_on_random_markets(seed: int, bar_s: int, emission_ms: int) -> None:
    spec = full_spec(bar_s * NS_PER_SECOND, emission_ms * MS)
    frames = a_stream(seed, 1200, gaps=seed % 2 == 1)
    oracle = Oracle(spec.bar_interval, spec.emission_interval).feed(chain.from_iterable(frames))
    vectors = list(replay(spec, records_of(frames)))
    assert assert_same(vectors, oracle.vectors, spec.names) > len(vectors) * 10


def test_every_feature_becomes_ready_on_a_calm_market() -> None:
    spec = full_spec(NS_PER_SECOND, 250 * MS)
    vectors = list(replay(spec, records_of(a_stream(1, 1500, gaps=False, mess=False))))
    assert not vectors[-1].reasons.any()


def test_agrees_with_the_oracle_on_a_recorded_market(data_dir: Path) -> None:
    spec = full_spec(NS_PER_SECOND, 500 * MS)
    pairs = binance_events(data_dir / "binance_l2_hftbacktest_2024" / "spot_btcusdt_20240808.gz", limit=14_000)
    oracle = Oracle(spec.bar_interval, spec.emission_interval).feed(event for _, events in pairs for event in events)
    vectors = list(replay(spec, as_records(pairs)))
    assert len(vectors) > 100
    assert assert_same(vectors, oracle.vectors, spec.names) > 2000
    assert not vectors[-1].reasons.any()


def test_core12_agrees_with_pandas_on_recorded_bars(data_dir: Path) -> None:
    interval = 300 * NS_PER_SECOND
    bars = bybit_bars(data_dir / "bybit_perp_5m_2025_2026" / "BTCUSDT_5m_futures.parquet", limit=3000)
    spec = full_spec(interval, interval)
    vectors = list(replay(spec, bar_records(bars)))
    table = bar_table(bars)
    assert [vector.as_of for vector in vectors] == [bar.close_time for bar in bars]  # a bar is in the vector of its end
    for name in table.columns:
        place = spec.names.index(name)
        got = np.array([vector.values[place] for vector in vectors])
        np.testing.assert_allclose(got, table[name].to_numpy(), rtol=3e-6, atol=1e-3 if name in CORE12 else 1e-7)
    assert np.isfinite(vectors[-1].values[:19]).all()
    assert set(vectors[-1].reasons[19:]) == {NotReady.NO_DATA}
