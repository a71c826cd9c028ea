"""The files are the truth: the note beside them catches up with what a killed archive wrote last."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from libs.trading.market import SessionEnd, Tick
from libs.wire.archive import ArchivedRecord, ArchiveWriter, archived_until
from libs.wire.market import encode_events
from libs.wire.payload import payload_header
from services.archive.adapters.market_times import times_of
from services.archive.adapters.parquet_files import ArchiveProblem, ParquetFiles, PlaceTaken
from services.archive.domain import MarketTimes, Partition
from tests.builders import market as build

EVENTS = Partition("market.events", 0)


def a_record(offset: int, time: int) -> ArchivedRecord:
    value = encode_events(build.a_head(instrument="i.j.k", session="s"), [Tick(time)])
    return ArchivedRecord("market.events", 0, offset, 1, b"i.j.k", value)


def opened(folder: Path) -> ParquetFiles:
    files = ParquetFiles(str(folder), takeover_s=0.0)
    files.open(threading.Event())
    return files


def test_a_file_without_a_note_is_found_again(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.write(EVENTS, [a_record(0, 5)])
    files.note_times(EVENTS, 0, MarketTimes("i.j.k", "s", 5, False))
    files.publish_progress()
    files.write(EVENTS, [a_record(1, 9)])
    files.close()
    again = opened(tmp_path)
    assert again.next_offset(EVENTS) == 2
    assert again.stale_from(EVENTS) == 1
    assert [record.offset for record in again.archived(EVENTS, 1)] == [1]
    assert archived_until(tmp_path, "i.j.k", "s") == 5
    again.close()


def test_times_only_grow_and_an_end_stays(tmp_path: Path) -> None:
    files = opened(tmp_path)
    for offset, (until, ended) in enumerate([(5, False), (9, True), (7, False)]):
        files.note_times(EVENTS, offset, MarketTimes("i.j.k", "s", until, ended))
    files.publish_progress()
    files.close()
    assert archived_until(tmp_path, "i.j.k", "s") == 9


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(PlaceTaken, match="another process writes into"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('{"version": 99}')
    with pytest.raises(ArchiveProblem, match="not of version 1"):
        opened(tmp_path)


def test_what_a_killed_archive_left_half_written_is_removed(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path).write([a_record(0, 5)])
    half = tmp_path / "market.events" / "market.events-0-00000000000000000001.parquet.99.tmp"
    half.write_bytes(b"half")
    files = opened(tmp_path)
    assert (files.removed, files.next_offset(EVENTS)) == (1, 1)
    assert not half.exists()
    files.close()


def told(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> MarketTimes | None:
    return times_of("market.events", ArchivedRecord("market.events", 0, 0, 0, None, value, headers))


def test_the_time_of_a_record_is_its_last_events() -> None:
    head = build.a_head(instrument="i.j.k", session="s")
    assert told(encode_events(head, [Tick(5)])) == MarketTimes("i.j.k", "s", 5, False)
    assert told(encode_events(head, [Tick(5), SessionEnd(6)])) == MarketTimes("i.j.k", "s", 6, True)
    assert told(encode_events(head, [build.a_trade(event_time=8)])) == MarketTimes("i.j.k", "s", 8, False)


@pytest.mark.parametrize("value", [None, b"", b"\xff\xff", encode_events(build.a_head(), [])])
def test_a_record_that_says_nothing_is_no_obstacle(value: bytes | None) -> None:
    assert told(value) is None


def test_a_later_version_says_nothing_of_time() -> None:
    value = encode_events(build.a_head(), [Tick(5)])
    assert told(value, (payload_header("market.events"),)) is not None
    assert told(value, (("payload", b"market.v2.MarketEvents"),)) is None
