"""What listeners of the running venue hear, and in which order."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.integration.exchange_simulator.process import KEY, SECRET, Client, VenueProcess, a_venue_process

MARKET = [
    "simulator.sessions",
    "orderbook.50.BTCUSDT",
    "publicTrade.BTCUSDT",
    "tickers.BTCUSDT",
    "allLiquidation.BTCUSDT",
]


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[VenueProcess]:
    with a_venue_process(tmp_path, PLAY_AT_ONCE="false", TRAINING_SECONDS="60") as running:
        running.wait_for("PLAYING_TRAINING")
        yield running


def listen(venue: VenueProcess, path: str) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{venue.port}{path}", proxy=None, max_size=2**24)


def ask(socket: ClientConnection, **body: Any) -> dict[str, Any]:
    socket.send(json.dumps(body))
    answer: dict[str, Any] = json.loads(socket.recv(timeout=30))
    return answer


def read_until(socket: ClientConnection, state: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while True:
        frame = json.loads(socket.recv(timeout=30))
        frames.append(frame)
        if frame.get("topic") == "simulator.sessions" and frame["data"][0]["state"] == state:
            return frames


def sign_in(venue: VenueProcess, socket: ClientConnection, secret: str = SECRET) -> dict[str, Any]:
    expires = time.time_ns() // 1_000_000 + 5_000
    signature = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    return ask(socket, op="auth", args=[KEY, expires, signature])


def test_the_training_stretch_waits_for_a_reader_and_loses_nothing(venue: VenueProcess) -> None:
    with listen(venue, "/v5/public/linear") as socket:
        assert ask(socket, op="subscribe", args=["tickers.BTCUSDT"], req_id="7")["success"]
        time.sleep(0.3)
        assert venue.session()["clock"]["session_anchor_ns"] == venue.session()["training_start_ns"]
        ack = ask(socket, op="subscribe", args=[topic for topic in MARKET if "tickers" not in topic], req_id="8")
        assert (ack["success"], ack["op"], ack["req_id"]) == (True, "subscribe", "8")
        frames = read_until(socket, "TRADING")
    books = [frame for frame in frames if frame.get("topic", "").startswith("orderbook")]
    assert books[0]["type"] == "snapshot"
    assert [frame["data"]["u"] for frame in books] == list(range(1, len(books) + 1))
    assert books[-1]["ts"] - books[0]["ts"] >= 59_000


def test_no_frame_is_ahead_of_the_last_clock_by_more_than_a_slice(venue: VenueProcess) -> None:
    with listen(venue, "/v5/public/linear") as socket:
        ask(socket, op="subscribe", args=MARKET)
        clock: dict[str, Any] = {}
        for frame in read_until(socket, "TRADING"):
            if frame["topic"] == "simulator.sessions":
                clock = frame["data"][0]["clock"]
            else:
                ahead_ns = frame["ts"] * 1_000_000 - clock["session_anchor_ns"]
                assert -1_000_000 <= ahead_ns <= 1_000_000_000
        assert clock["rate"] == 1.0
        assert clock["session_anchor_ns"] == clock["wall_anchor_ns"]
        frame = json.loads(socket.recv(timeout=30))
        assert abs(time.time() * 1000 - frame["ts"]) < 10_000


def test_the_same_seed_plays_the_same_training_stretch(tmp_path: Path) -> None:
    heard = []
    for name in ("one", "two"):
        with a_venue_process(tmp_path / name, PLAY_AT_ONCE="false", TRAINING_SECONDS="30") as running:
            running.wait_for("PLAYING_TRAINING")
            with listen(running, "/v5/public/linear") as socket:
                ask(socket, op="subscribe", args=MARKET)
                frames = [
                    f for f in read_until(socket, "TRADING") if f["topic"].startswith(("orderbook", "publicTrade"))
                ]
            start = running.session()["training_start_ns"] // 1_000_000
            within = [frame for frame in frames if frame["ts"] < start + 30_000]
            heard.append([(f["topic"], f["ts"] - start, levels_of(f)) for f in within])
    assert len(heard[0]) > 500
    assert heard[0] == heard[1]


def levels_of(frame: dict[str, Any]) -> Any:
    if frame["topic"].startswith("orderbook"):
        return frame["data"]["b"], frame["data"]["a"]
    return [(trade["S"], trade["p"], trade["v"]) for trade in frame["data"]]


def test_a_second_reader_begins_with_a_snapshot_that_its_deltas_continue(venue: VenueProcess) -> None:
    with listen(venue, "/v5/public/linear") as first, listen(venue, "/v5/public/linear") as second:
        ask(first, op="subscribe", args=MARKET)
        read_until(first, "TRADING")
        ask(second, op="subscribe", args=["orderbook.50.BTCUSDT"])
        frames = [json.loads(second.recv(timeout=30)) for _ in range(5)]
    assert [frame["type"] for frame in frames] == ["snapshot"] + ["delta"] * 4
    assert [frame["data"]["u"] - frames[0]["data"]["u"] for frame in frames] == list(range(5))


def test_operations_are_answered(venue: VenueProcess) -> None:
    with listen(venue, "/v5/public/linear") as socket:
        assert ask(socket, op="ping", req_id="1") | {"conn_id": ""} == {
            "success": True, "ret_msg": "pong", "conn_id": "", "req_id": "1", "op": "ping",
        }  # fmt: skip
        refused = ask(socket, op="subscribe", args=["orderbook.50.NOSUCH"])
        assert (refused["success"], refused["ret_msg"]) == (False, "error:handler not found,topic:orderbook.50.NOSUCH")
        assert ask(socket, op="dance")["success"] is False
        socket.send("{")
        assert json.loads(socket.recv(timeout=30))["success"] is False
    with listen(venue, "/v5/public/spot") as socket:
        assert ask(socket, op="subscribe", args=["orderbook.50.BTCUSDT"])["success"] is False


def test_the_private_stream_needs_a_signature(venue: VenueProcess) -> None:
    with listen(venue, "/v5/private") as socket:
        assert sign_in(venue, socket, "wrong")["success"] is False
        assert ask(socket, op="subscribe", args=["order"])["success"] is False


def test_the_private_stream_tells_of_fills_orders_positions_and_cash(venue: VenueProcess) -> None:
    with listen(venue, "/v5/public/linear") as market, listen(venue, "/v5/private") as socket:
        ask(market, op="subscribe", args=MARKET)
        read_until(market, "TRADING")
        ack = sign_in(venue, socket)
        assert ack | {"conn_id": ""} == {"success": True, "ret_msg": "", "op": "auth", "conn_id": ""}
        assert ask(socket, op="subscribe", args=["order", "execution", "position", "wallet"])["success"]
        faults = f"{venue.address}/simulator/v1/faults"
        httpx.post(faults, content='{"kind": "duplicate_executions"}').raise_for_status()
        placed = Client(venue.address).order(orderLinkId="told")["result"]
        frames = [json.loads(socket.recv(timeout=30)) for _ in range(5)]
        topics = [frame["topic"] for frame in frames]
        assert sorted(topics) == ["execution", "execution", "order", "position", "wallet"]
        executions = [frame["data"][0] for frame in frames if frame["topic"] == "execution"]
        assert executions[0] == executions[1]
        assert executions[0]["orderId"] == placed["orderId"]
        httpx.post(faults, content='{"kind": "drop_orders"}').raise_for_status()
        Client(venue.address).order()
        assert "order" not in [json.loads(socket.recv(timeout=30))["topic"] for _ in range(3)]
        httpx.post(faults, content='{"kind": "drop_streams"}').raise_for_status()
        with pytest.raises(Exception, match="close"):
            socket.recv(timeout=30)
