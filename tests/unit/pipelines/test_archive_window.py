"""A window reads every session of one provenance, waits until the log has passed its end, and says what for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.trading.market import Provenance, RecordHead, SessionClock, Tick
from libs.wire.archive import ArchivedRecord, ArchiveWriter
from libs.wire.market import encode_events
from libs.wire.places import PlaceAway
from libs.wire.progress import Progress, SessionProgress, write_progress
from pipelines.retrain.adapters.archive_window import (
    ArchiveWindow,
    wait_for_instrument,
    wait_until_passed,
    window_log,
)
from pipelines.retrain.adapters.run_folder import NotYet, RunError

BTC, ETH = "bybit.linear.BTCUSDT", "bybit.linear.ETHUSDT"
SIMULATED, LIVE = Provenance.SIMULATED, Provenance.LIVE
SECOND = 10**9


@dataclass(frozen=True)
class Told:
    session: str
    second: int
    instrument: str = BTC
    provenance: Provenance = SIMULATED


def an_archive(folder: Path, told: Sequence[Told], ended: Sequence[str] = ()) -> Path:
    """Ticks in one partition, in log order."""
    records, sessions = [], {}
    for offset, one in enumerate(told):
        time = one.second * SECOND
        head = RecordHead(one.instrument, one.session, 1, offset, one.provenance, time, SessionClock(0, 0, 1.0))
        value = encode_events(head, [Tick(time)])
        records.append(ArchivedRecord("market.events", 0, offset, 0, one.instrument.encode(), value))
        sessions[one.instrument, one.session] = SessionProgress(time, 0, offset, one.session in ended)
    ArchiveWriter(folder).write(records)
    write_progress(folder, Progress({("market.events", 0): len(told)}, sessions))
    return folder


def read(archive: Path, first: int, end: int, provenance: Provenance | None = None) -> list[tuple[str, int]]:
    window = ArchiveWindow(BTC, first * SECOND, end * SECOND, provenance)
    return [
        (record.head.session, int(record.rows["event_time"][0]) // SECOND) for _, record in window_log(archive, window)
    ]


def test_sessions_that_reach_into_the_window_are_read_from_their_beginning_to_the_first_record_behind_it(
    tmp_path: Path,
) -> None:
    told = [Told("old", 1), Told("old", 9), Told("a", 10), Told("a", 20), Told("b", 30), Told("b", 41), Told("b", 50)]
    archive = an_archive(tmp_path, told)
    assert read(archive, 15, 40) == [("a", 10), ("a", 20), ("b", 30), ("b", 41)]


def test_other_instruments_are_left_out(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [Told("a", 10), Told("a", 11, ETH), Told("a", 12)])
    assert read(archive, 0, 100) == [("a", 10), ("a", 12)]


def test_a_session_that_begins_behind_the_window_does_not_make_it_mixed(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [Told("sim", 10), Told("sim", 20), Told("live", 30, provenance=LIVE)])
    assert [session for session, _ in read(archive, 0, 25)] == ["sim", "sim", "live"]
    assert read(archive, 0, 25, SIMULATED) == [("sim", 10), ("sim", 20)]


def test_mixed_provenance_is_refused_by_name_unless_one_is_asked_for(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [Told("sim", 10), Told("real", 20, provenance=LIVE), Told("real", 50)])
    with pytest.raises(RunError, match=r"SIMULATED \(session sim\) and LIVE \(session real\).*--provenance LIVE"):
        read(archive, 0, 40)
    assert read(archive, 0, 40, LIVE) == [("real", 20)]


def wait(archive: Path, end: int, provenance: Provenance | None = None, patience_s: float = 0.0) -> list[str]:
    said: list[str] = []
    wait_until_passed(archive, ArchiveWindow(BTC, 0, end * SECOND, provenance), patience_s, said.append)
    return said


def test_a_window_that_the_newest_session_has_passed_needs_no_waiting(tmp_path: Path) -> None:
    assert wait(an_archive(tmp_path, [Told("a", 10), Told("b", 40)]), 40) == []


def test_an_older_session_that_got_further_does_not_end_the_waiting(tmp_path: Path) -> None:
    """A generator that began again plays its past: what it says of the window is still to come."""
    archive = an_archive(tmp_path, [Told("a", 90), Told("b", 20)])
    with pytest.raises(NotYet, match=r"has not passed 1970-01-01T00:00:40Z.*archived until 1970-01-01T00:00:20Z, 20 s"):
        wait(archive, 40)


def test_waiting_names_what_is_missing_and_that_its_session_has_ended(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [Told("a", 10)], ended=["a"])
    with pytest.raises(NotYet, match="session has ended; do data-ingestion and archive run"):
        wait(archive, 40)


def test_only_sessions_of_the_provenance_asked_for_are_waited_for(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [Told("real", 40, provenance=LIVE), Told("sim", 10)])
    assert wait(archive, 40, LIVE) == []
    with pytest.raises(NotYet, match=r"nothing of bybit\.linear\.BTCUSDT with provenance RECORDED is archived"):
        wait(archive, 40, Provenance.RECORDED)


def find(archive: Path, wanted: str | None) -> str:
    return wait_for_instrument(archive, wanted, 0.0, lambda what: None)


def test_the_only_instrument_need_not_be_named(tmp_path: Path) -> None:
    assert find(an_archive(tmp_path, [Told("a", 10)]), None) == BTC


def test_a_misspelt_instrument_is_answered_with_the_nearest_and_an_empty_archive_may_fill(tmp_path: Path) -> None:
    with pytest.raises(NotYet, match="no market events are archived"):
        find(tmp_path, BTC)
    archive = an_archive(tmp_path, [Told("a", 10), Told("a", 10, ETH)])
    with pytest.raises(RunError, match=f"Did you mean {BTC}?") as refused:
        find(archive, "bybit.linear.BTCUSD")
    assert not isinstance(refused.value, NotYet)
    with pytest.raises(RunError, match="several instruments are archived, name one with --instrument"):
        find(archive, None)
    with pytest.raises(RunError, match="no such archive folder"):
        find(tmp_path / "nowhere", BTC)


def test_an_archive_that_goes_away_while_it_is_waited_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(archive: Path) -> Progress:
        raise PlaceAway("s3://bucket does not answer", "away")

    archive = an_archive(tmp_path, [Told("a", 10)])
    monkeypatch.setattr("pipelines.retrain.adapters.archive_window.read_progress", away)
    with pytest.raises(NotYet, match="s3://bucket does not answer"):
        find(archive, BTC)
    with pytest.raises(NotYet, match="s3://bucket does not answer"):
        wait(archive, 40)
