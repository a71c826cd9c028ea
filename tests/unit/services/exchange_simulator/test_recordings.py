"""Recordings: captures become archive files with their chain checked, archive files become a market that is played."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from libs.trading.market import BookUpdate, FeedGap, Provenance, SessionEnd, Side, Trade
from libs.wire.archive import read_file
from libs.wire.market import decode_events
from services.exchange_simulator.adapters.raw_capture import RecordingProblem
from services.exchange_simulator.adapters.recordings import look_through, moments, prepare
from services.exchange_simulator.adapters.sources import recorded
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.recording import Recording

FEES = (Decimal("0.0002"), Decimal("0.00055"))
T0 = 1_700_000_000_000
NOW = 1_800_000_000_000_000_000


def snapshot(last: int) -> dict[str, Any]:
    return {"lastUpdateId": last, "bids": [["99.9", "1.5"], ["99.8", "2"]], "asks": [["100.1", "1"], ["100.2", "2"]]}


def depth(at: int, first: int, final: int, bids: Any = (), asks: Any = (), **more: Any) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": T0 + at, "s": "BTCUSDT", "U": first, "u": final, "b": bids, "a": asks} | more
    return {"stream": "btcusdt@depth@100ms", "data": data}


def trade(at: int, number: int, price: str, size: str, buyer_is_maker: bool) -> dict[str, Any]:
    data = {"e": "trade", "E": T0 + at, "T": T0 + at, "t": number, "p": price, "q": size, "m": buyer_is_maker}
    return {"stream": "btcusdt@trade", "data": data}


def capture(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """A capture whose recorder's clock runs 1.27 s behind the venue's."""
    with gzip.open(path, "wt") as file:
        for place, line in enumerate(lines):
            file.write(f"{(T0 - 1270 + 100 * place) * 1_000_000} {json.dumps(line)}\n")
    return path


FIRST = [
    depth(0, 8, 10, [["99.7", "9"]]),
    trade(5, 1, "100.1", "0.25", False),
    depth(100, 11, 13, [["99.9", "1.25"]]),
    snapshot(11),
    depth(200, 14, 14, [["99.8", "0"]], [["100.1", "0.5"]]),
    {"stream": "btcusdt@bookTicker", "data": {"u": 1, "s": "BTCUSDT", "b": "1", "B": "1", "a": "2", "A": "1"}},
]
SECOND = [depth(300, 15, 18, [["99.6", "4"]]), trade(310, 2, "99.9", "0.4", True)]


def test_a_capture_becomes_archive_records_with_an_opening_gap_and_an_end(tmp_path: Path) -> None:
    files = [capture(tmp_path / "a.gz", FIRST), capture(tmp_path / "b.gz", SECOND)]
    archived, digest = prepare(files, tmp_path / "converted")
    read = [decode_events(record.value or b"") for path in archived for record in read_file(path)]
    events = [event for _, found in read for event in found]
    assert [type(event) for event in events] == [
        FeedGap, Trade, BookUpdate, BookUpdate, BookUpdate, BookUpdate, Trade, SessionEnd,
    ]  # fmt: skip
    books = [event for event in events if isinstance(event, BookUpdate)]
    assert [(book.update_id, book.snapshot) for book in books] == [(11, True), (13, False), (14, False), (18, False)]
    assert {head.instrument for head, _ in read} == {"binance.spot.BTCUSDT"}
    assert {head.provenance for head, _ in read} == {Provenance.RECORDED}
    assert [head.seq for head, _ in read] == list(range(len(read)))
    assert (prepare(files, tmp_path / "converted"), len(digest)) == ((archived, digest), 64)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([snapshot(11), depth(0, 13, 14)], "chain is broken"),
        ([snapshot(11), depth(0, 10, 12), depth(100, 14, 15)], "chain is broken"),
        ([depth(0, 1, 2)], "no snapshot"),
        ([snapshot(11), {"stream": "btcusdt@kline_1m", "data": {}}], "no known kind"),
        ([snapshot(11), trade(0, 1, "price", "1", True)], "line 2"),
    ],
)
def test_a_capture_that_is_broken_is_refused_with_the_reason(tmp_path: Path, lines: Any, words: str) -> None:
    with pytest.raises(RecordingProblem, match=words):
        prepare([capture(tmp_path / "a.gz", lines)], tmp_path / "converted")


def test_a_second_capture_that_does_not_continue_the_first_is_refused(tmp_path: Path) -> None:
    late = [depth(300, 16, 18)]
    files = [capture(tmp_path / "a.gz", FIRST), capture(tmp_path / "b.gz", late)]
    with pytest.raises(RecordingProblem, match=r"b\.gz, line 1: .*16\.\.18 does not follow 14"):
        prepare(files, tmp_path / "converted")


def test_futures_are_chained_by_their_own_link(tmp_path: Path) -> None:
    good = [snapshot(11), depth(0, 9, 20, pu=8), depth(100, 30, 40, pu=20)]
    archived, digest = prepare([capture(tmp_path / "a.gz", good)], tmp_path / "good")
    assert look_through(archived, digest).instrument == "binance.linear.BTCUSDT"
    with pytest.raises(RecordingProblem, match="chain is broken"):
        prepare([capture(tmp_path / "b.gz", [*good, depth(200, 50, 60, pu=41)])], tmp_path / "bad")


def test_missing_and_mixed_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingProblem, match="no such recording"):
        prepare([tmp_path / "none.gz"], tmp_path)
    other = tmp_path / "b.parquet"
    other.write_bytes(b"no parquet")
    with pytest.raises(RecordingProblem, match="not both"):
        prepare([capture(tmp_path / "a.gz", FIRST), other], tmp_path)
    with pytest.raises(RecordingProblem):
        look_through([other], "0")


def test_steps_are_found_and_time_never_runs_back_or_before_the_event(tmp_path: Path) -> None:
    archived, digest = prepare([capture(tmp_path / "a.gz", FIRST + SECOND)], tmp_path / "converted")
    found = look_through(archived, digest)
    assert (found.tick, found.lot) == (Decimal("0.1"), Decimal("0.01"))
    due = [moment.due_ns for moment in moments(archived)]
    assert due == sorted(due)
    assert found.ends_ns == ((T0 + 310) * 1_000_000,)


def test_our_order_waits_for_recorded_trades_behind_the_displayed_queue(tmp_path: Path) -> None:
    archived, _ = prepare([capture(tmp_path / "a.gz", FIRST + SECOND)], tmp_path / "converted")
    listed = Instrument("BTCUSDT", "binance.spot.BTCUSDT", Decimal("0.1"), Decimal("0.01"), *FEES)
    recording = Recording(moments(archived), listed)
    steps = []
    while recording.next_ns is not None and recording.next_ns < (T0 + 300) * 1_000_000:
        steps.append(recording.step())
    assert recording.book.bids.sizes == {999: 125}
    recording.book.rest("behind", Side.BUY, 999, 50)
    recording.book.rest("in front", Side.BUY, 1000, 30)
    while recording.next_ns is not None:
        steps.append(recording.step())
    assert [(match.maker, match.lots) for step in steps for match in step.matches] == [("in front", 30)]


def test_one_recording_is_split_by_time_and_two_by_file(tmp_path: Path) -> None:
    one = [capture(tmp_path / "all.gz", FIRST + SECOND)]
    two = [capture(tmp_path / "a.gz", FIRST), capture(tmp_path / "b.gz", SECOND)]
    _, split = recorded(one, tmp_path / "one", "BTCUSDT", FEES, 0.5, NOW)
    session = split.session
    assert session.training_end_ns == (session.training_start_ns + (T0 + 310) * 1_000_000) // 2
    _, chained = recorded(two, tmp_path / "two", "BTCUSDT", FEES, 0.5, NOW)
    assert chained.session.training_end_ns == (T0 + 200) * 1_000_000
    assert chained.session.instrument.origin == "binance.spot.BTCUSDT"
    assert chained.session.provenance is Provenance.RECORDED


def test_the_real_recordings_chain_and_rebuild_the_book_that_the_captures_hold(data_dir: Path, tmp_path: Path) -> None:
    """The naive book: every raw line applied to a dictionary; at the end the best fifty levels are the same."""
    folder = data_dir / "binance_l2_hftbacktest_2024"
    files = [folder / "spot_btcusdt_20240808.gz", folder / "spot_btcusdt_20240809.gz"]
    source, pacer = recorded(files, tmp_path, "BTCUSDT", FEES, 0.5, NOW)
    prints = 0
    while source.next_ns is not None:
        step = source.step()
        prints += len(step.prints)
        bid, ask = source.book.ladder(Side.BUY).best(), source.book.ladder(Side.SELL).best()
        assert bid is None or ask is None or bid < ask
    assert prints == 9_757 + 10_147
    assert pacer.session.instrument.tick == Decimal("0.01")
    bids, asks = naive_book(files)
    tick, lot = pacer.session.instrument.tick, pacer.session.instrument.lot
    for naive, side, best in ((bids, Side.BUY, True), (asks, Side.SELL, False)):
        wanted = sorted(naive.items(), reverse=best)[:50]
        ours = [(price * tick, lots * lot) for price, lots in source.book.ladder(side).levels(50)]
        assert ours == wanted


def naive_book(files: list[Path]) -> tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]:
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    updates, last = [], 0
    for path in files:
        with gzip.open(path, "rt") as file:
            for text in file:
                line = json.loads(text.partition(" ")[2])
                if "lastUpdateId" in line:
                    last = line["lastUpdateId"]
                    bids = {Decimal(price): Decimal(size) for price, size in line["bids"]}
                    asks = {Decimal(price): Decimal(size) for price, size in line["asks"]}
                elif "@depth" in line["stream"]:
                    updates.append(line["data"])
    for update in updates:
        if update["u"] > last:
            for side, levels in ((bids, update["b"]), (asks, update["a"])):
                for price, size in levels:
                    side[Decimal(price)] = Decimal(size)
    return {price: size for price, size in bids.items() if size}, {price: size for price, size in asks.items() if size}
