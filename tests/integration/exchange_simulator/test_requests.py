"""Signatures, times, limits, refusals and faults, as a client of the running venue meets them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.exchange_simulator.process import Client, VenueProcess, a_venue_process, signed


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    folder: Path = tmp_path_factory.mktemp("venue")
    with a_venue_process(folder) as running:
        running.wait_for("TRADING")
        yield running


@pytest.fixture
def client(venue: VenueProcess) -> Client:
    httpx.delete(f"{venue.address}/simulator/v1/faults")
    return Client(venue.address)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def code(venue: VenueProcess, headers: dict[str, str], query: str = "accountType=UNIFIED") -> int:
    answer = httpx.get(f"{venue.address}/v5/account/wallet-balance?{query}", headers=headers).json()
    assert set(answer) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    return int(answer["retCode"])


def test_a_request_must_be_signed_rightly_and_in_time(venue: VenueProcess) -> None:
    query = "accountType=UNIFIED"
    assert code(venue, signed(query)) == 0
    assert code(venue, signed(query, secret="another")) == 10004
    assert code(venue, signed("accountType=SPOT")) == 10004
    assert code(venue, signed(query, key="nobody")) == 10003
    assert code(venue, signed(query, now_ms() - 6_000)) == 10002
    assert code(venue, signed(query, now_ms() + 10_000)) == 10002
    assert code(venue, {}) == 10001


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"symbol": "NOSUCH"}, 10001),
        ({"qty": "0.0001"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "NaN"}, 10001),
        ({"qty": "1e99"}, 10001),
        ({"price": "20000.5"}, 10001),
        ({"price": "1"}, 110094),
        ({"price": "90000"}, 110003),
        ({"side": "buy"}, 10001),
        ({"timeInForce": "Never"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"stopLoss": "15000"}, 10001),
        ({"category": "spot"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"reduceOnly": True}, 110017),
        ({"reduceOnly": "perhaps"}, 10001),
        ({"qty": "9"}, 110007),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_its_code(
    venue: VenueProcess, changes: dict[str, object], wanted: int
) -> None:
    answer = Client(venue.address).order(**({"price": "19500"} | changes))  # type: ignore[arg-type]
    assert answer["retCode"] == wanted, answer
    assert answer["result"] == {}


def test_what_is_no_json_object_is_refused(venue: VenueProcess) -> None:
    for body in ("[]", "{", "nothing"):
        answer = httpx.post(f"{venue.address}/v5/order/create", content=body, headers=signed(body)).json()
        assert answer["retCode"] == 10001


def test_a_link_id_is_taken_once(client: Client) -> None:
    assert client.order(orderLinkId="once")["retCode"] == 0
    assert client.order(orderLinkId="once")["retCode"] == 110072
    assert len(client.rows("/v5/order/history", orderLinkId="once")) == 1


def test_a_crossing_post_only_is_received_and_then_cancelled(client: Client) -> None:
    ask = float(client.get("/v5/market/tickers", category="linear", symbol="BTCUSDT")["result"]["list"][0]["ask1Price"])
    answer = client.order(price=str(int(ask) + 50), timeInForce="PostOnly", orderLinkId="crossing")
    assert answer["retCode"] == 0
    [row] = client.rows("/v5/order/realtime", orderLinkId="crossing")
    assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


def test_an_ioc_that_meets_nothing_is_cancelled(client: Client) -> None:
    client.order(price="19000", timeInForce="IOC", orderLinkId="missed")
    [row] = client.rows("/v5/order/history", orderLinkId="missed")
    assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_NoImmediateQtyToFill")


def test_too_many_orders_in_a_second_are_refused_and_cancels_have_their_own_budget(tmp_path: Path) -> None:
    with a_venue_process(tmp_path, ORDERS_PER_SECOND="1") as slow:
        slow.wait_for("TRADING")
        client = Client(slow.address)
        answers = [client.order(price="19000") for _ in range(14)]
        assert {answer["retCode"] for answer in answers} == {0, 10006}
        assert client.post("/v5/order/cancel-all", category="linear", symbol="BTCUSDT")["retCode"] == 0
        assert client.rows("/v5/order/realtime") == []


def test_pages_hold_every_fill_once(client: Client) -> None:
    for _ in range(5):
        client.order()
    fills = client.rows("/v5/execution/list", limit=2)
    assert len(fills) >= 5
    assert len({fill["execId"] for fill in fills}) == len(fills)
    [position] = client.get("/v5/position/list", category="linear", symbol="BTCUSDT")["result"]["list"]
    held = sum(float(fill["execQty"]) * (1 if fill["side"] == "Buy" else -1) for fill in fills)
    assert float(position["size"]) == pytest.approx(held)


def ask_for(venue: VenueProcess, **fault: object) -> None:
    httpx.post(f"{venue.address}/simulator/v1/faults", content=json.dumps(fault)).raise_for_status()


def test_faults_hide_the_answer_but_not_the_order(venue: VenueProcess, client: Client) -> None:
    ask_for(venue, kind="drop_after_accept")
    with pytest.raises(httpx.HTTPError):
        client.order(orderLinkId="dropped")
    ask_for(venue, kind="error_after_accept")
    with pytest.raises(json.JSONDecodeError):
        client.order(orderLinkId="bad-gateway")
    ask_for(venue, kind="delay_answer", seconds=0.3)
    began = time.monotonic()
    assert client.order(orderLinkId="late")["retCode"] == 0
    assert time.monotonic() - began >= 0.3
    for name in ("dropped", "bad-gateway", "late"):
        assert len(client.rows("/v5/order/history", orderLinkId=name)) == 1


def test_a_fault_that_is_none_is_refused(venue: VenueProcess) -> None:
    for body in ('{"kind": "earthquake"}', "{", '{"kind": "delay_answer", "times": 0}'):
        assert httpx.post(f"{venue.address}/simulator/v1/faults", content=body).status_code == 400


def test_a_body_that_is_too_large_is_refused(venue: VenueProcess) -> None:
    text = json.dumps({"category": "x" * 100_000})
    assert httpx.post(f"{venue.address}/v5/order/create", content=text, headers=signed(text)).status_code == 413
