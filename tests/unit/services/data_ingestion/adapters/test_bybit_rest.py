"""The venue's own hosts are LIVE with its clock; every other host has to announce itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from libs.trading.market import Bar, Provenance
from services.data_ingestion.adapters.bybit_rest import MINUTE_NS, BybitRest
from services.data_ingestion.domain import NoSource, SourceState
from services.data_ingestion.ports import VenueUnavailable

NOW = 1_700_000_000_000_000_000
OFFSET = 37_000_000
Answers = Callable[[httpx.Request], httpx.Response]


def ok(result: Any) -> httpx.Response:
    return httpx.Response(200, json={"retCode": 0, "retMsg": "OK", "result": result})


def answers(request: httpx.Request) -> httpx.Response:
    path, symbol = request.url.path, request.url.params.get("symbol")
    if path == "/v5/market/time":
        return ok({"timeSecond": "1700000000", "timeNano": str(NOW + OFFSET)})
    if path == "/v5/market/instruments-info":
        return ok(
            {"category": "linear", "list": [{"symbol": symbol, "status": "Trading"}] if symbol == "BTCUSDT" else []}
        )
    if path == "/v5/market/kline":
        rows = [["120000", "2", "3", "1", "2.5", "10", "25"], ["60000", "1", "2", "1", "2", "5", "7"]]
        return ok({"category": "linear", "symbol": symbol, "list": rows})
    return httpx.Response(404)


def rest(
    given: Answers = answers, http: str = "https://api.bybit.com", stream: str = "wss://stream.bybit.com"
) -> BybitRest:
    return BybitRest(http, stream, "linear", lambda: NOW, httpx.MockTransport(given))


def test_the_venue_is_live_and_its_clock_corrects_ours() -> None:
    announcement = rest().announcement("BTCUSDT")
    assert (announcement.provenance, announcement.state) == (Provenance.LIVE, SourceState.TRADING)
    assert announcement.instrument == "bybit.linear.BTCUSDT"
    assert announcement.clock.session_time(NOW) == NOW + OFFSET


def test_a_symbol_that_the_venue_does_not_list_is_unknown() -> None:
    with pytest.raises(NoSource, match=r"unknown symbol DOGE: api\.bybit\.com lists none"):
        rest().announcement("DOGE")


def test_the_same_answers_from_another_host_are_not_live() -> None:
    with pytest.raises(NoSource, match="neither is the venue"):
        rest(http="https://api.bybit.example").announcement("BTCUSDT")


def test_a_redirect_is_not_an_announcement() -> None:
    elsewhere = httpx.Response(302, headers={"Location": "https://api.bybit.com/simulator/v1/sessions"})
    with pytest.raises(NoSource, match="answered 302"):
        rest(lambda _: elsewhere, http="http://127.0.0.1:1").announcement("BTCUSDT")


def test_an_announcement_that_is_not_understood_is_refused() -> None:
    with pytest.raises(NoSource, match="in a form that is not understood"):
        rest(lambda _: httpx.Response(200, json={"sessions": [{}]}), http="http://127.0.0.1:1").announcement("BTCUSDT")


def test_candles_come_oldest_first_and_only_those_asked_for() -> None:
    bars = rest().klines("BTCUSDT", 60_000_000_000, 180_000_000_000)
    assert bars == [
        Bar(MINUTE_NS, 2 * MINUTE_NS, 1.0, 2.0, 1.0, 2.0, 5.0),
        Bar(2 * MINUTE_NS, 3 * MINUTE_NS, 2.0, 3.0, 1.0, 2.5, 10.0),
    ]
    assert rest().klines("BTCUSDT", 60_000_000_001, 120_000_000_000) == []


def test_a_question_that_the_venue_refuses_names_its_code() -> None:
    refusal = httpx.Response(200, json={"retCode": 10001, "retMsg": "params error", "result": {}})
    with pytest.raises(NoSource, match="10001 params error"):
        rest(lambda _: refusal).klines("BTCUSDT", 0, 1)


@pytest.mark.parametrize(
    "answer", [httpx.Response(503), httpx.Response(200, text="<html>"), httpx.Response(200, json=[])]
)
def test_an_answer_that_is_none_is_unavailable(answer: httpx.Response) -> None:
    with pytest.raises(VenueUnavailable, match=r"api\.bybit\.com"):
        rest(lambda _: answer).klines("BTCUSDT", 0, 1)


def test_silence_is_unavailable() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("too long", request=request)

    with pytest.raises(
        VenueUnavailable, match=r"no answer from https://api\.bybit\.com/v5/market/instruments-info: too long"
    ):
        rest(silent).announcement("BTCUSDT")
