"""Every recorded frame is read, every field is where it belongs, and nothing that comes over the wire can crash it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import BookUpdate, Channel, Liquidation, Provenance, SessionClock, Side, Ticker, Trade
from libs.wire.market import encode_events
from services.data_ingestion.adapters.bybit_frames import (
    Announced,
    BadFrame,
    FrameReader,
    MarketFrame,
    Reply,
    operation,
    read_sessions,
)
from services.data_ingestion.domain import BookVerdict, SourceState, judge_book
from tests.builders import market as build

MS = 1_000_000
OURS = ("orderbook", "publicTrade", "tickers", "allLiquidation")


def book(**changes: Any) -> dict[str, Any]:
    data = {"s": "BTCUSDT", "b": [["100.5", "2"]], "a": [["101", "0"]], "u": 7, "seq": 1} | changes.pop("data", {})
    return {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 2000, "cts": 1999, "data": data} | changes


def trades(**changes: Any) -> dict[str, Any]:
    row = {"T": 1998, "s": "BTCUSDT", "S": "Sell", "v": "0.1", "p": "100", "L": "PlusTick", "i": "x", "BT": False}
    return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 2000, "data": [row | changes]}


def ticker(kind: str = "delta", **fields: Any) -> dict[str, Any]:
    data = {"symbol": "BTCUSDT"} | fields
    return {"topic": "tickers.BTCUSDT", "type": kind, "data": data, "cs": 1, "ts": 2000}


def read(frame: Any, reader: FrameReader | None = None) -> Any:
    return (reader or FrameReader("BTCUSDT")).read(frame if isinstance(frame, bytes) else json.dumps(frame).encode())


def events(frame: Any, reader: FrameReader | None = None) -> tuple[Any, ...]:
    item = read(frame, reader)
    assert isinstance(item, MarketFrame)
    return item.events


def test_a_book_has_the_matching_engines_time_and_exact_numbers() -> None:
    assert events(book()) == (BookUpdate(1999 * MS, 7, False, [(100.5, 2.0)], [(101.0, 0.0)]),)
    [update] = events(book(data={"b": [["0.1234567890123456789", "1e-8"]]}))
    assert update.bids == [(float("0.1234567890123456789"), 1e-8)]


def test_a_book_without_matching_time_has_the_frames() -> None:
    frame = book()
    del frame["cts"]
    [update] = events(frame)
    assert update.event_time == 2000 * MS


def test_update_one_is_a_whole_book_whatever_the_type() -> None:
    assert events(book(data={"u": 1}))[0].snapshot
    assert not events(book())[0].snapshot
    assert events(book(type="snapshot"))[0].snapshot


def test_trades_have_their_own_times_and_the_takers_side() -> None:
    assert events(trades()) == (Trade(1998 * MS, 100.0, 0.1, Side.SELL, "x"),)


def test_a_liquidation_names_the_positions_side() -> None:
    row = {"T": 5, "s": "BTCUSDT", "S": "Buy", "v": "3", "p": "99"}
    frame = {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 6, "data": [row, row]}
    assert events(frame) == (Liquidation(5 * MS, Side.BUY, 99.0, 3.0),) * 2


def test_a_ticker_has_only_what_changed_and_absence_is_absence() -> None:
    [change] = events(ticker(markPrice="5", indexPrice=""))
    assert change == Ticker(2000 * MS, mark_price=5.0)
    assert events(ticker(bid1Price="1", ask1Size="2")) == ()


def test_funding_terms_travel_together() -> None:
    reader = FrameReader("BTCUSDT")
    events(ticker("snapshot", fundingRate="0.0001", nextFundingTime="28800000"), reader)
    [change] = events(ticker(nextFundingTime="57600000"), reader)
    assert (change.funding_rate, change.next_funding_time) == (0.0001, 57_600_000 * MS)
    [change] = events(ticker(fundingRate="-0.0002"), reader)
    assert (change.funding_rate, change.next_funding_time) == (-0.0002, 57_600_000 * MS)


def test_answers_are_told_from_market_frames() -> None:
    refusal = {"success": False, "ret_msg": "error:handler not found", "conn_id": "c", "req_id": "1", "op": "subscribe"}
    assert read(refusal) == Reply("subscribe", False, "error:handler not found", "1")
    assert read({"success": True, "ret_msg": "pong", "conn_id": "c", "op": "ping"}) == Reply("ping", True, "pong", "")


SESSION = {
    "session": "s1",
    "instrument": "binance.spot.BTCUSDT",
    "symbol": "BTCUSDT",
    "category": "linear",
    "provenance": "RECORDED",
    "clock": {"wall_anchor_ns": 1, "session_anchor_ns": 2, "rate": 0.0},
    "training_end_ns": 9,
    "state": "WAITING",
    "new": "fields are ignored",
}


def test_sessions_are_read_from_the_stream_and_from_the_answer_alike() -> None:
    item = read({"topic": "simulator.sessions", "type": "snapshot", "ts": 1, "data": [SESSION]})
    assert isinstance(item, Announced)
    assert item.announcements == read_sessions(json.dumps({"sessions": [SESSION]}).encode())
    [announcement] = item.announcements
    assert announcement.instrument == "binance.spot.BTCUSDT"
    assert announcement.provenance is Provenance.RECORDED
    assert announcement.clock == SessionClock(1, 2, 0.0)
    assert announcement.state is SourceState.WAITING


@pytest.mark.parametrize(
    "changes",
    [
        {"session": ""},
        {"provenance": "REAL"},
        {"state": "PAUSED"},
        {"clock": {"wall_anchor_ns": 1, "session_anchor_ns": 2, "rate": -1.0}},
        {"instrument": "BTCUSDT"},
        {"clock": None},
    ],
)
def test_a_session_that_cannot_be_meant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        read_sessions(json.dumps({"sessions": [SESSION | changes]}).encode())


@pytest.mark.parametrize(
    ("frame", "channel", "says"),
    [
        (b"", Channel.ALL, "not a frame"),
        (b"\xff\xfe", Channel.ALL, "not a frame"),
        (b'{"topic":"orderbook', Channel.ALL, "not a frame"),
        (b"[]", Channel.ALL, "not a frame"),
        (b'{"topic":"orderbook.50.BTCUSDT","data":' + b"[" * 100_000, Channel.ALL, "not a frame"),
        (book(data={"u": 2**63}), Channel.BOOK, "update id"),
        (ticker(nextFundingTime="1e300"), Channel.TICKER, "nextFundingTime"),
        (b"{}", Channel.ALL, "neither a topic nor an operation"),
        ({"topic": "kline.1.BTCUSDT", "data": []}, Channel.ALL, "unknown topic kline.1.BTCUSDT"),
        (book(data={"b": [["x", "1"]]}), Channel.BOOK, "orderbook.50.BTCUSDT"),
        (book(data={"b": [["1"]]}), Channel.BOOK, "orderbook.50.BTCUSDT"),
        (book(data={"b": [["nan", "1"]]}), Channel.BOOK, "out of range"),
        (book(data={"a": [["inf", "1"]]}), Channel.BOOK, "out of range"),
        (book(data={"a": [["5", "-1"]]}), Channel.BOOK, "out of range"),
        (book(data={"a": [["0", "1"]]}), Channel.BOOK, "out of range"),
        (book(data={"u": -1}), Channel.BOOK, "update id -1"),
        (book(data={"s": "ETHUSDT"}), Channel.BOOK, "about 'ETHUSDT' instead of 'BTCUSDT'"),
        (book(type="partial"), Channel.BOOK, "type 'partial'"),
        (book(cts=10**16), Channel.BOOK, "not milliseconds since 1970"),
        (trades(p="0"), Channel.TRADES, "trade 'x' of 0.1 at 0.0"),
        (trades(v="nan"), Channel.TRADES, "trade 'x' of nan"),
        (trades(i=""), Channel.TRADES, "trade ''"),
        (trades(S="None"), Channel.TRADES, "publicTrade.BTCUSDT"),
        (trades(T=0), Channel.TRADES, "not milliseconds"),
        (ticker(markPrice="free"), Channel.TICKER, "markPrice is 'free'"),
        (ticker(lastPrice="0"), Channel.TICKER, "lastPrice is '0'"),
        (ticker(fundingRate="inf"), Channel.TICKER, "fundingRate is 'inf'"),
    ],
)
def test_a_frame_of_no_use_says_why_and_what_is_lost_with_it(frame: Any, channel: Channel, says: str) -> None:
    with pytest.raises(BadFrame, match=says) as refused:
        read(frame)
    assert refused.value.channel is channel


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([book(), trades(), ticker(markPrice="5")]), st.data())
def test_no_spoiled_field_crashes_it(frame: dict[str, Any], data: st.DataObject) -> None:
    frame = json.loads(json.dumps(frame))
    inner = frame["data"][0] if isinstance(frame["data"], list) else frame["data"]
    target = data.draw(st.sampled_from([frame, inner]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    _reads_or_refuses(json.dumps(frame).encode())


@given(st.sampled_from([book(), trades(), ticker(markPrice="5")]), st.integers(0, 300), st.binary(max_size=3))
def test_no_spoiled_byte_crashes_it(frame: dict[str, Any], at: int, put: bytes) -> None:
    text = json.dumps(frame).encode()
    _reads_or_refuses(text[:at] + put + text[at + 1 :])


def _reads_or_refuses(frame: bytes) -> None:
    with suppress(BadFrame):
        item = read(frame)
        assert isinstance(item, (Announced, Reply, MarketFrame))
        if isinstance(item, MarketFrame):
            encode_events(build.a_head(), item.events)


def recorded(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every recorded public frame of a v5 linear or spot market, with its topic."""
    lines = [
        line
        for name in ("bybit_v5_linear_inverse", "bybit_v5_spot", "bybit_v5_all_liquidation")
        for line in (folder / "tardis" / f"{name}.jsonl").read_bytes().splitlines()
    ]
    lines += [path.read_bytes() for path in sorted((folder / "crypto_scout").glob("*/*.json"))]
    for line in lines:
        if line.strip():
            yield json.loads(line)["topic"], line


def test_every_recorded_frame_of_our_topics_is_read(data_dir: Path) -> None:
    seen: dict[str, int] = {}
    for topic, line in recorded(data_dir / "bybit_v5_messages"):
        kind, symbol = topic.split(".")[0], topic.rsplit(".")[-1]
        if kind not in OURS:
            continue
        item = FrameReader(symbol).read(line)
        assert isinstance(item, MarketFrame), topic
        quiet = item.channel is Channel.TICKER and b'"delta"' in line  # nothing changed that we keep
        assert item.events or quiet, topic
        seen[kind] = seen.get(kind, 0) + 1
    assert set(seen) == set(OURS)
    assert seen["orderbook"] >= 10


def test_a_recorded_stretch_of_book_frames_chains_without_a_gap(data_dir: Path) -> None:
    archive = data_dir / "bybit_v5_messages" / "nautilus" / "xrpusdt-ob500.data.zip"
    with zipfile.ZipFile(archive) as files:
        lines = files.read(files.namelist()[0]).splitlines()
    reader, last = FrameReader("XRPUSDT"), None
    for line in lines:
        [update] = events(line, reader)
        assert judge_book(last, update) is BookVerdict.ACCEPT
        last = update.update_id
    assert len(lines) == 50


def test_operations_are_the_venues() -> None:
    assert json.loads(operation("ping", "1")) == {"op": "ping", "req_id": "1"}
    assert json.loads(operation("subscribe", "1", ("a", "b"))) == {"op": "subscribe", "req_id": "1", "args": ["a", "b"]}
