"""Cost of the feature engine per event, online and in replay, beside plain Python on the same recorded rows."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from libs.trading.features.catalogue import full_spec
from libs.trading.features.engine import FeatureEngine, compile_kernels
from libs.trading.features.kernels.process import new_state, process
from libs.trading.features.kernels.state import OUTPUT_DTYPE, ROW_DTYPE
from libs.trading.features.replay import joined, replay_log
from libs.trading.features.vector import FeatureVector
from libs.trading.market import NS_PER_SECOND, MarketRecord
from tests.benchmarks.plain_features import PlainFeatures
from tests.builders.recordings import as_records, binance_events

ROOT = Path(__file__).parents[2]
SPEC = full_spec(NS_PER_SECOND, NS_PER_SECOND // 4)
CAPTURE = Path("binance_l2_hftbacktest_2024") / "spot_btcusdt_20240808.gz"
ROUNDS = 7
WARM_NS = 60 * NS_PER_SECOND
TARGET_ONLINE_US = 3.0
TARGET_REPLAY = 1_000_000


def main() -> int:
    folder = Path(os.environ.get("TRADING_TEST_DATA") or ROOT / ".." / "shared" / "data")
    if not (folder / CAPTURE).is_file():
        print(f"features: left out, no recorded data at {folder} (TRADING_TEST_DATA)")
        return 0
    records = as_records(binance_events(folder / CAPTURE))
    rows = joined([record.rows for record in records])
    singles = rows.view(ROW_DTYPE)
    ends, received = np.ones(1, np.int64), np.array([records[-1].head.received_time])
    out = np.zeros(4096, OUTPUT_DTYPE)
    compile_kernels(SPEC)

    def kernel_one_by_one() -> None:
        state = new_state(SPEC)
        for i in range(len(singles)):
            process(state, singles[i : i + 1], 0, ends, received, out)

    def kernel_batch() -> None:
        process(new_state(SPEC), singles, 0, np.array([len(singles)]), received, out)

    def plain() -> None:
        PlainFeatures(SPEC.bar_interval, SPEC.emission_interval).rows(rows)

    assert_equal(online(records), records)
    seconds = interleaved(
        {
            "online, update() per record": lambda: online(records),
            "online, kernel call per row": kernel_one_by_one,
            "batch, kernel alone": kernel_batch,
            "batch, replay with vectors": lambda: replayed(records),
            "plain Python, O(1)": plain,
        }
    )
    print_table(seconds, len(rows), len(records))
    return 0


def online(records: list[MarketRecord]) -> list[FeatureVector]:
    engine = FeatureEngine(SPEC, records[0].head.instrument)
    return [vector for offset, record in enumerate(records) for vector in engine.update(record, offset)]


def replayed(records: list[MarketRecord]) -> list[FeatureVector]:
    return list(replay_log(SPEC, enumerate(records)))


def assert_equal(vectors: list[FeatureVector], records: list[MarketRecord]) -> None:
    """Before anything is timed: replay gives the online bytes, and the peer the same numbers once all is warm."""
    assert [v.values.tobytes() for v in replayed(records)] == [v.values.tobytes() for v in vectors]
    peer = PlainFeatures(SPEC.bar_interval, SPEC.emission_interval)
    peer.rows(joined([record.rows for record in records]))
    compared = 0
    for vector in vectors:
        if vector.as_of < vectors[0].as_of + WARM_NS:
            continue
        for name, value in zip(SPEC.names, vector.values.tolist(), strict=True):
            want = peer.vectors[vector.as_of].get(name)
            if want is not None:
                scale = 1e-4 if name in ("zscore", "bb_position", "rsi_14") else 2e-6
                assert abs(value - want) <= scale * max(abs(want), 1.0), (name, vector.as_of, value, want)
                compared += 1
    assert compared > 10_000, compared


def interleaved(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, one after the other in every round, so that a busy machine hits all alike."""
    measured: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            measured[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in measured.items()}


def print_table(seconds: dict[str, float], rows: int, records: int) -> None:
    targets = {
        "online, kernel call per row": f"<= {TARGET_ONLINE_US} us",
        "batch, replay with vectors": f">= {TARGET_REPLAY:,} rows/s",
    }
    peer = seconds["plain Python, O(1)"]
    print(f"features: {len(SPEC.names)} features, {rows:,} rows in {records:,} records, median of {ROUNDS} rounds")
    print(f"{'':30} {'us/record':>10} {'us/row':>8} {'rows/s':>12} {'x plain':>8}  target")
    for name, value in seconds.items():
        print(
            f"{name:30} {value / records * 1e6:10.2f} {value / rows * 1e6:8.3f} {rows / value:12,.0f} "
            f"{peer / value:8.1f}  {targets.get(name, '')}"
        )


if __name__ == "__main__":
    sys.exit(main())
