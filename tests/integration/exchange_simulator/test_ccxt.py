"""The outside judge: ccxt's own Bybit client works against the venue as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import pytest

from tests.integration.exchange_simulator.process import KEY, SECRET, VenueProcess, a_venue_process

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    folder: Path = tmp_path_factory.mktemp("venue")
    with a_venue_process(folder) as running:
        running.wait_for("TRADING")
        yield running


@pytest.fixture(scope="module")
def bybit(venue: VenueProcess) -> Any:
    client = ccxt.bybit({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], venue.address)
    client.load_markets()
    return client


def test_it_lists_the_contract(bybit: Any) -> None:
    market = bybit.market(SYMBOL)
    assert (market["linear"], market["swap"], market["settle"]) == (True, True, "USDT")
    assert market["precision"] == {"amount": 0.001, "price": 1.0}
    assert market["limits"]["cost"]["min"] in (5, None)


def test_it_reads_the_market(bybit: Any) -> None:
    book = bybit.fetch_order_book(SYMBOL, 50)
    assert len(book["bids"]) == len(book["asks"]) == 50
    assert book["bids"][0][0] < book["asks"][0][0]
    assert bybit.fetch_trades(SYMBOL)
    assert bybit.fetch_ticker(SYMBOL)["last"] > 0
    assert bybit.fetch_ohlcv(SYMBOL, "1m")
    assert abs(bybit.fetch_time() - bybit.milliseconds()) < 2000


def test_it_buys_and_sees_the_fill_the_position_and_the_balance(bybit: Any) -> None:
    before = bybit.fetch_balance()["USDT"]["total"]
    assert before == pytest.approx(10_000, abs=50)
    placed = bybit.create_order(SYMBOL, "market", "buy", 0.02, params={"clientOrderId": "judge-1"})
    [closed] = [order for order in bybit.fetch_closed_orders(SYMBOL) if order["id"] == placed["id"]]
    assert (closed["status"], closed["filled"], closed["clientOrderId"]) == ("closed", 0.02, "judge-1")
    fills = [trade for trade in bybit.fetch_my_trades(SYMBOL) if trade["order"] == placed["id"]]
    assert sum(trade["amount"] for trade in fills) == pytest.approx(0.02)
    assert sum(trade["fee"]["cost"] for trade in fills) == pytest.approx(0.0001 * closed["cost"], rel=1e-6)
    [position] = bybit.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 0.02)
    assert position["entryPrice"] == pytest.approx(closed["average"])


def test_it_rests_lists_and_cancels_an_order(bybit: Any) -> None:
    price = bybit.fetch_order_book(SYMBOL)["bids"][0][0] - 200
    placed = bybit.create_order(SYMBOL, "limit", "buy", 0.01, price, params={"postOnly": True})
    [listed] = bybit.fetch_open_orders(SYMBOL)
    assert (listed["id"], listed["price"], listed["status"], listed["postOnly"]) == (placed["id"], price, "open", True)
    assert bybit.cancel_order(placed["id"], SYMBOL)["id"] == placed["id"]
    assert bybit.fetch_open_orders(SYMBOL) == []
    [canceled] = [order for order in bybit.fetch_canceled_orders(SYMBOL) if order["id"] == placed["id"]]
    assert canceled["status"] == "canceled"


def test_it_understands_refusals(bybit: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound):
        bybit.cancel_order("no-such-order", SYMBOL)
    with pytest.raises(ccxt.BadRequest):
        bybit.create_order(SYMBOL, "limit", "buy", 0.01, 20_000, params={"triggerPrice": 19_000, "triggerDirection": 1})
    with pytest.raises(ccxt.InsufficientFunds):
        bybit.create_order(SYMBOL, "market", "buy", 90)


def test_it_is_refused_with_a_wrong_secret(venue: VenueProcess) -> None:
    client = ccxt.bybit({"apiKey": KEY, "secret": "wrong", "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], venue.address)
    with pytest.raises(ccxt.AuthenticationError):
        client.fetch_balance()


def test_leverage_fee_and_mode(bybit: Any) -> None:
    assert bybit.fetch_trading_fee(SYMBOL)["taker"] == 0.0001
    bybit.set_leverage(3, SYMBOL)
    [position] = bybit.fetch_positions([SYMBOL])
    assert position["leverage"] == 3
    with pytest.raises(ccxt.NoChange):
        bybit.set_position_mode(False, SYMBOL)


def test_it_goes_flat_with_reduce_only(bybit: Any) -> None:
    bybit.create_order(SYMBOL, "market", "sell", 0.02, params={"reduceOnly": True})
    assert bybit.fetch_positions() == []
    with pytest.raises(ccxt.ExchangeError, match="110017"):
        bybit.create_order(SYMBOL, "market", "sell", 0.02, params={"reduceOnly": True})
