"""A recording's session over the wire: fast, waiting, trading on the word, ended."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import httpx

from tests.integration.exchange_simulator.process import Client, a_venue_process

T0 = 1_700_000_000_000


def capture(path: Path, lines: list[dict[str, Any]]) -> Path:
    with gzip.open(path, "wt") as file:
        for line in lines:
            file.write(f"{T0 * 1_000_000} {json.dumps(line)}\n")
    return path


def depth(at: int, number: int, size: str) -> dict[str, Any]:
    data = {"E": T0 + at, "s": "BTCUSDT", "U": number, "u": number, "b": [["99.9", size]], "a": [["100.1", size]]}
    return {"stream": "btcusdt@depth@100ms", "data": data}


def trade(at: int, number: int) -> dict[str, Any]:
    return {"stream": "btcusdt@trade", "data": {"T": T0 + at, "t": number, "p": "99.9", "q": "0.5", "m": True}}


def test_a_recording_trains_waits_trades_and_ends(tmp_path: Path) -> None:
    snapshot = {"lastUpdateId": 1, "bids": [["99.9", "1.5"], ["99.8", "2"]], "asks": [["100.1", "1"], ["100.2", "2"]]}
    first = capture(
        tmp_path / "a.gz", [snapshot, *(depth(100 * n, n + 1, "1.50") for n in range(1, 600)), trade(59_950, 1)]
    )
    second = capture(
        tmp_path / "b.gz",
        [
            line
            for n in range(20)
            for line in (depth(60_000 + 200 * n, 601 + n, "1.50"), trade(60_010 + 200 * n, 2 + n))
        ],
    )
    with a_venue_process(tmp_path / "venue", RECORDINGS=f"{first},{second}") as venue:
        waiting = venue.wait_for("WAITING")
        assert (waiting["instrument"], waiting["provenance"]) == ("binance.spot.BTCUSDT", "RECORDED")
        assert waiting["clock"]["rate"] == 0.0
        assert waiting["clock"]["session_anchor_ns"] == waiting["training_end_ns"] == (T0 + 59_950) * 1_000_000
        client = Client(venue.address)
        assert client.order(qty="0.10")["retCode"] == 110063
        go = f"{venue.address}/simulator/v1/sessions"
        assert httpx.post(f"{go}/another/go").status_code == 404
        assert httpx.post(f"{go}/{waiting['session']}/go").json()["state"] == "TRADING"
        assert httpx.post(f"{go}/{waiting['session']}/go").status_code == 409
        time.sleep(0.3)
        assert client.order(qty="0.10", orderLinkId="taker")["retCode"] == 0
        assert client.order(qty="0.20", price="99.9", timeInForce="PostOnly", orderLinkId="maker")["retCode"] == 0
        ended = venue.wait_for("ENDED", 15)
        assert ended["session"] == waiting["session"]
        [taker] = client.rows("/v5/order/history", orderLinkId="taker")
        assert (taker["orderStatus"], taker["avgPrice"], taker["cumExecFee"]) == ("Filled", "100.1", "0.0055055")
        [maker] = client.rows("/v5/order/history", orderLinkId="maker")
        assert (maker["orderStatus"], maker["avgPrice"], maker["cumExecFee"]) == ("Filled", "99.9", "0.003996")
        ticker = client.get("/v5/market/tickers", category="linear", symbol="BTCUSDT")["result"]["list"][0]
        assert (ticker["markPrice"], ticker["fundingRate"], ticker["lastPrice"]) == ("", "", "99.90")
        assert client.order(qty="0.10")["retCode"] == 110063


def test_a_recording_that_is_broken_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    path = capture(tmp_path / "a.gz", [depth(0, 5, "1")])
    with a_venue_process(tmp_path / "venue", RECORDINGS=str(path)) as venue:
        assert venue.process.wait(30) == 1
