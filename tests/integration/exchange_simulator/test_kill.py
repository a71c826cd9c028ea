"""A venue that is killed keeps every order and fill that it answered for, and begins a new session."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.integration.exchange_simulator.process import Client, a_venue_process


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with a_venue_process(tmp_path) as venue:
        before = venue.wait_for("TRADING")["session"]
        client = Client(venue.address)
        answered = [client.order(orderLinkId=f"fill-{n}")["result"]["orderId"] for n in range(10)]
        resting = client.order(side="Buy", price="19000", orderLinkId="resting")["result"]["orderId"]
        fills = client.rows("/v5/execution/list")
        balance = client.get("/v5/account/wallet-balance", accountType="UNIFIED")["result"]["list"][0]
        venue.kill()
    with a_venue_process(tmp_path, INITIAL_BALANCE="5") as venue:
        client = Client(venue.address)
        after = venue.wait_for("TRADING")["session"]
        assert after != before
        assert {row["orderId"] for row in client.rows("/v5/order/history")} == {*answered, resting}
        assert client.rows("/v5/execution/list") == fills
        again = client.get("/v5/account/wallet-balance", accountType="UNIFIED")["result"]["list"][0]
        assert again["totalWalletBalance"] == balance["totalWalletBalance"]
        [position] = client.rows("/v5/position/list")
        assert Decimal(position["size"]) == sum(Decimal(fill["execQty"]) for fill in fills)
        [order] = client.rows("/v5/order/realtime")
        assert (order["orderId"], order["orderStatus"]) == (resting, "New")
        assert client.order(orderLinkId="fill-0")["retCode"] == 110072
        cancelled = client.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="resting")
        assert cancelled["retCode"] == 0


def test_an_answer_that_never_came_is_found_after_the_kill(tmp_path: Path) -> None:
    with a_venue_process(tmp_path) as venue:
        venue.wait_for("TRADING")
        fault = '{"kind": "delay_answer", "seconds": 30}'
        httpx.post(f"{venue.address}/simulator/v1/faults", content=fault).raise_for_status()
        with pytest.raises(httpx.TimeoutException):
            Client(venue.address, timeout_s=0.5).order(orderLinkId="in-doubt")
        venue.kill()
    with a_venue_process(tmp_path) as venue:
        venue.wait_for("TRADING")
        [row] = Client(venue.address).rows("/v5/order/history", orderLinkId="in-doubt")
        assert row["orderStatus"] == "Filled"
