"""A stretch is read from the archive once it is there, and what is misspelt is answered with what exists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from libs.trading.market import MarketRecord, Provenance, RecordHead, SessionClock, Tick
from libs.wire.archive import ArchivedRecord, ArchiveWriter
from libs.wire.malformed import MalformedMessage
from libs.wire.market import encode_events
from libs.wire.progress import Progress, SessionProgress, write_progress
from pipelines.retrain.adapters.archive_log import archive_log, find_session, wait_until_archived
from pipelines.retrain.adapters.run_folder import RunError

BTC, ETH = "bybit.linear.BTCUSDT", "bybit.linear.ETHUSDT"


def an_archive(folder: Path, told: Sequence[tuple[str, str, int]], ended: bool = False) -> Path:
    """Ticks of (instrument, session, time) in one partition, in log order."""
    records = []
    sessions: dict[tuple[str, str], SessionProgress] = {}
    for offset, (instrument, session, time) in enumerate(told):
        clock = SessionClock(0, 0, 1.0)
        head = RecordHead(instrument, session, 1, offset, Provenance.SIMULATED, time, clock)
        value = encode_events(head, [Tick(time)])
        records.append(ArchivedRecord("market.events", 0, offset, 0, instrument.encode(), value))
        sessions[instrument, session] = SessionProgress(time, 0, offset, ended)
    ArchiveWriter(folder).write(records)
    write_progress(folder, Progress({("market.events", 0): len(told)}, sessions))
    return folder


def times(log: Sequence[tuple[int, MarketRecord]]) -> list[int]:
    return [int(record.rows["event_time"][0]) for _, record in log]


def test_only_the_session_of_the_instrument_is_read_in_log_order(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "old", 5), (BTC, "s", 10), (ETH, "s", 11), (BTC, "s", 12), (BTC, "s", 20)])
    log = list(archive_log(archive, BTC, "s", until_ns=100))
    assert times(log) == [10, 12, 20]
    assert [offset for offset, _ in log] == [1, 3, 4]


def test_reading_stops_after_the_record_that_crosses_the_end(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "s", t) for t in (10, 20, 30, 40, 50)])
    assert times(list(archive_log(archive, BTC, "s", until_ns=25))) == [10, 20, 30]


def test_a_stretch_that_is_archived_needs_no_waiting(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "s", 10), (BTC, "s", 50)])
    wait_until_archived(archive, BTC, "s", 50, patience_s=0.0, progress=lambda what: pytest.fail("waited"))


def test_a_session_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "s", 10)], ended=True)
    wait_until_archived(archive, BTC, "s", 50, patience_s=0.0, progress=lambda what: pytest.fail("waited"))


def test_waiting_ends_with_what_is_missing(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "s", 10 * 10**9)])
    with pytest.raises(RunError, match=r"2\.0 s of the stretch are not archived"):
        wait_until_archived(archive, BTC, "s", 12 * 10**9, patience_s=0.0, progress=lambda what: None)


def test_where_there_is_one_session_it_need_not_be_named(tmp_path: Path) -> None:
    assert find_session(an_archive(tmp_path, [(BTC, "s", 10)]), None, None) == (BTC, "s")


def test_a_misspelt_instrument_or_session_is_answered_with_the_nearest(tmp_path: Path) -> None:
    archive = an_archive(tmp_path, [(BTC, "session-1", 10), (ETH, "session-1", 10), (BTC, "session-2", 10)])
    with pytest.raises(RunError, match=f"did you mean {BTC}"):
        find_session(archive, "bybit.linear.BTCUSD", "session-1")
    with pytest.raises(RunError, match="did you mean session-2"):
        find_session(archive, BTC, "sesion-2")
    with pytest.raises(RunError, match="several instruments are archived, name one with --instrument"):
        find_session(archive, None, None)
    with pytest.raises(RunError, match="several sessions"):
        find_session(archive, BTC, None)


def test_an_empty_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no market events are archived yet"):
        find_session(tmp_path, BTC, "s")
    with pytest.raises(RunError, match="no such archive folder"):
        find_session(tmp_path / "nothing", BTC, "s")


def test_a_record_of_a_later_version_is_not_learned_from(tmp_path: Path) -> None:
    head = RecordHead(BTC, "s", 1, 0, Provenance.SIMULATED, 10, SessionClock(0, 0, 1.0))
    headers = (("payload", b"market.v2.MarketEvents"),)
    value = encode_events(head, [Tick(10)])
    ArchiveWriter(tmp_path).write([ArchivedRecord("market.events", 0, 0, 0, BTC.encode(), value, headers)])
    with pytest.raises(MalformedMessage, match="v2"):
        list(archive_log(tmp_path, BTC, "s", until_ns=100))
