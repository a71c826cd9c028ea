"""What is frozen: the stretch that was asked for, when its vectors were known, the gaps in it, the worst provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from libs.trading.features.catalogue import BARS_VIEW, full_spec
from libs.trading.market import (
    Bar,
    Channel,
    FeedGap,
    MarketEvent,
    MarketRecord,
    Provenance,
    RecordHead,
    SessionClock,
)
from libs.wire.market import rows_of
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts
from pipelines.retrain.adapters.tables import Columns, read_columns
from pipelines.retrain.steps.snapshot import OPEN_END, Assumptions, Stretch, snapshot

SECOND = 10**9
SPEC = full_spec(SECOND, SECOND)
DELAY = 20_000_000
ALL = Stretch(0, OPEN_END, None)


def bars(n: int = 120, rate: float = 1.0, lag_ns: int = 5_000_000, session: str = "s") -> Iterator[MarketRecord]:
    """One bar a second, received `lag_ns` after its close on a clock of this rate."""
    rng = np.random.default_rng(1)
    price = 100.0
    for i in range(n):
        before, price = price, price * float(np.exp(rng.normal() * 1e-3))
        begin, end = i * SECOND + SECOND, (i + 2) * SECOND
        bar = Bar(begin, end, before, max(before, price), min(before, price), price, 1.0)
        head = RecordHead("a.b.C", session, 1, i, Provenance.LIVE, end + lag_ns, SessionClock(0, 0, rate))
        yield MarketRecord(head, rows_of([bar]))


def with_gap(records: Iterable[MarketRecord], at: int) -> Iterator[MarketRecord]:
    for i, record in enumerate(records):
        if i == at:
            gap: list[MarketEvent] = [FeedGap(int(record.rows["event_time"][0]), Channel.BARS, 0, 0, "lost")]
            yield MarketRecord(record.head, rows_of(gap))
        yield record


def frozen(path: Path, records: Iterable[MarketRecord], stretch: Stretch = ALL) -> tuple[dict[str, object], Columns]:
    run = RunFolder(path)
    log = ((-1, record) for record in records)
    assumed = Assumptions(DELAY, 1.0)
    snapshot(run, log, SPEC, BARS_VIEW, stretch, assumed, "test", 42, lambda what, share: None)
    return read_facts(run.snapshot_facts, "snapshot"), read_columns(run.snapshot_table, "snapshot")


def known_after(columns: Columns) -> set[int]:
    return set((columns["known_at"] - columns["as_of"]).tolist())


def test_at_rate_one_a_vector_is_known_when_its_event_was_received(tmp_path: Path) -> None:
    assert known_after(frozen(tmp_path, bars())[1]) == {5_000_000}


@pytest.mark.parametrize("lag_ns", [3 * SECOND // 2, -SECOND // 2])
def test_what_is_played_fast_is_known_after_its_event_whatever_was_received_when(tmp_path: Path, lag_ns: int) -> None:
    assert known_after(frozen(tmp_path, bars(rate=600.0, lag_ns=lag_ns))[1]) == {DELAY}


def test_only_the_stretch_is_frozen_but_it_is_warm(tmp_path: Path) -> None:
    stretch = Stretch(80 * SECOND, 100 * SECOND, "s")
    facts, columns = frozen(tmp_path, bars(), stretch)
    assert (columns["as_of"].min(), columns["as_of"].max()) == (80 * SECOND, 99 * SECOND)
    assert columns["ready"].all()
    assert facts["rows"] == 20


def test_another_session_is_not_read(tmp_path: Path) -> None:
    both = [*bars(session="other"), *bars(session="s")]
    facts, _ = frozen(tmp_path, both, Stretch(0, OPEN_END, "s"))
    assert facts["sessions"] == ["s"]


def test_the_opening_gap_is_no_loss_but_a_later_one_is_certified(tmp_path: Path) -> None:
    opening, _ = frozen(tmp_path / "a", with_gap(bars(), at=0))
    later, _ = frozen(tmp_path / "b", with_gap(bars(), at=100))
    assert opening["gaps"] == []
    assert later["gaps"] == [{"instrument": "a.b.C", "at_ns": 102 * SECOND, "channel": int(Channel.BARS)}]


def test_a_result_has_the_worst_provenance_of_everything_in_it(tmp_path: Path) -> None:
    records = list(bars())
    records[30] = replace(records[30], head=replace(records[30].head, provenance=Provenance.SIMULATED))
    assert frozen(tmp_path, records)[0]["provenance"] == "SIMULATED"


def test_an_empty_stretch_says_how_much_was_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no vector in .* 120 records read"):
        frozen(tmp_path, bars(), Stretch(900 * SECOND, 999 * SECOND, None))
