"""Real bars become the same log that ingestion writes; what is wrong in a file is said."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.trading.features.catalogue import BARS_VIEW, full_spec
from libs.trading.market import Provenance, RowKind
from pipelines.retrain.adapters.bar_files import INTERVAL_NS, bar_files, bar_log
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts
from pipelines.retrain.adapters.tables import read_columns
from pipelines.retrain.steps.snapshot import OPEN_END, Assumptions, Stretch, snapshot

START = 1_758_672_000 * 10**9
SPEC = full_spec(INTERVAL_NS, INTERVAL_NS)


def a_file(folder: Path, skip: tuple[int, ...] = (), columns: Mapping[str, object] | None = None) -> Path:
    opened = np.array([START + i * INTERVAL_NS for i in range(60) if i not in skip])
    price = 100.0 + np.arange(opened.size)
    content: dict[str, object] = {
        "date": pa.array(opened // 10**6, pa.timestamp("ms", tz="UTC")),
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price + 0.5,
        "volume": np.ones(opened.size),
        **(columns or {}),
    }
    path = folder / "BTCUSDT_5m_futures.parquet"
    pq.write_table(pa.table({name: value for name, value in content.items() if value is not None}), path)
    return path


def test_a_bar_is_known_some_time_after_its_close(tmp_path: Path) -> None:
    records = list(bar_log(a_file(tmp_path), known_after_ns=10**9))
    assert len(records) == 60
    head = records[0].head
    assert head.instrument == "bybit.linear.BTCUSDT"
    assert head.provenance is Provenance.RECORDED
    assert head.received_time == START + INTERVAL_NS + 10**9
    assert [RowKind(row["kind"]) for row in records[0].rows] == [RowKind.BAR_OPEN, RowKind.BAR_RANGE, RowKind.BAR_CLOSE]


def test_a_missing_bar_is_a_gap(tmp_path: Path) -> None:
    records = list(bar_log(a_file(tmp_path, skip=(20, 21)), 0))
    gaps = [i for i, record in enumerate(records) if RowKind.GAP in record.rows["kind"]]
    assert gaps == [20]


def test_the_same_bars_are_the_same_session_and_others_another(tmp_path: Path) -> None:
    first = next(bar_log(a_file(tmp_path), 0)).head.session
    assert next(bar_log(a_file(tmp_path), 0)).head.session == first
    assert next(bar_log(a_file(tmp_path, skip=(30,)), 0)).head.session != first


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"volume": None}, "missing columns volume"),
        ({"close": np.full(60, -1.0)}, "price is not positive"),
        ({"open": np.full(60, np.nan)}, "price is not positive"),
        ({"date": pa.array([START // 10**6] * 60, pa.timestamp("ms", tz="UTC"))}, "do not ascend"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=f"BTCUSDT_5m_futures.parquet: .*{message}"):
        next(bar_log(a_file(tmp_path, columns=columns), 0))


def test_a_folder_without_bars_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no bar files"):
        bar_files(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        bar_files(tmp_path / "nothing")


def test_real_bars_freeze_into_vectors_with_their_gaps_and_a_working_canary(data_dir: Path, tmp_path: Path) -> None:
    file = bar_files(data_dir / "bybit_perp_5m_2025_2026")[1]
    run = RunFolder(tmp_path)
    log = ((-1, record) for record in islice(bar_log(file, 10**9), 1500))
    stretch, assumed = Stretch(0, OPEN_END, None), Assumptions(10**9, 0.5)
    snapshot(run, log, SPEC, BARS_VIEW, stretch, assumed, "bars", 42, lambda what, share: None)
    facts, columns = read_facts(run.snapshot_facts, "snapshot"), read_columns(run.snapshot_table, "snapshot")
    assert (facts["rows"], facts["gaps"], facts["provenance"]) == (1500, [], "RECORDED")
    assert facts["canary"]["changed"] == 0
    assert facts["canary"]["planted_changed"] > 0
    assert columns["ready"].sum() == 1500 - 49
    assert (columns["known_at"] - columns["as_of"] == 10**9).all()
    spread = (columns["ask"] - columns["bid"]) / (columns["ask"] + columns["bid"])
    assert spread == pytest.approx(0.5e-4)


def test_the_same_log_freezes_into_the_same_digest(tmp_path: Path) -> None:
    def digest(name: str, skip: tuple[int, ...] = ()) -> str:
        run = RunFolder(tmp_path / name)
        log = [(-1, record) for record in bar_log(a_file(tmp_path, skip), 0)]
        stretch = Stretch(0, OPEN_END, None)
        snapshot(run, log, SPEC, BARS_VIEW, stretch, Assumptions(0, 0.5), "bars", 42, lambda what, share: None)
        return str(read_facts(run.snapshot_facts, "snapshot")["digest"])

    assert digest("a") == digest("b")
    assert digest("a") != digest("c", skip=(40,))
