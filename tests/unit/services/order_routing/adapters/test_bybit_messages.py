"""Bybit's codes and rows mean what the venue documents, also in frames that were recorded."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.orders import VenueStatus
from services.order_routing.adapters.bybit_messages import (
    UnknownMessage,
    cancel_outcome,
    create_body,
    fill_of,
    report_of,
    rules_of,
    submit_outcome,
    venue_order_of,
)
from services.order_routing.ports import Accepted, CancelTaken, ExistsAlready, NotTaken, TurnedDown, Unclear
from tests.builders.orders import INSTRUMENT, RULES, an_order

FILL = {
    "symbol": "BTCUSDT",
    "execType": "Trade",
    "execId": "e1",
    "orderId": "v1",
    "orderLinkId": "mine",
    "side": "Sell",
    "execPrice": "50000.1",
    "execQty": "0.003",
    "execFee": "0.0825",
    "isMaker": True,
    "execTime": "1731163334346",
}
ORDER = {"orderId": "v1", "orderLinkId": "mine", "side": "Buy", "orderStatus": "New", "cumExecQty": "0", "qty": "0.01"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Accepted("v1")),
        (10002, NotTaken("10002: said")),
        (10006, NotTaken("10006: said", resume_at=5_000_000)),
        (10018, NotTaken("10018: said", halt=True)),
        (110072, ExistsAlready()),
        (170141, ExistsAlready()),
        (110007, TurnedDown("110007: said")),
        (110017, TurnedDown("110017: said")),
        (110063, TurnedDown("110063: said")),
        (10016, Unclear("10016: said")),
        (123456, Unclear("123456: said")),
    ],
)
def test_answers_to_a_create(code: int, expected: object) -> None:
    assert submit_outcome(code, "said", {"orderId": "v1"}, 5) == expected


@given(st.integers(1, 10**6))
def test_no_unknown_code_is_ever_taken_for_a_refusal(code: int) -> None:
    known = {10002, 10006, 10018, 403, 110072, 170141}
    outcome = submit_outcome(code, "", {}, None)
    if code not in known and not isinstance(outcome, TurnedDown):
        assert isinstance(outcome, Unclear)


@pytest.mark.parametrize("code", [110001, 110008, 110010, 10016, 99])
def test_a_cancel_that_failed_is_looked_up(code: int) -> None:
    assert isinstance(cancel_outcome(code, "said", None), Unclear)


def test_a_cancel_that_was_received() -> None:
    assert cancel_outcome(0, "OK", None) == CancelTaken()
    assert cancel_outcome(10006, "slow", 7) == NotTaken("10006: slow", resume_at=7_000_000)


def test_an_execution() -> None:
    fill = fill_of(FILL, INSTRUMENT)
    assert fill is not None
    assert (fill.side, fill.price, fill.quantity) == (Side.SELL, Decimal("50000.1"), Decimal("0.003"))
    assert (fill.fee_quote, fill.maker, fill.time) == (Decimal("0.0825"), True, 1731163334346_000_000)


@pytest.mark.parametrize("kind", ["Funding", "UserTrade", "", "SessionSettlePnL"])
def test_cash_is_no_fill(kind: str) -> None:
    assert fill_of(FILL | {"execType": kind}, INSTRUMENT) is None


@pytest.mark.parametrize("kind", ["AdlTrade", "BustTrade", "Settle", "Delivery", "BlockTrade", "MovePosition"])
def test_everything_that_moves_a_position_is_a_fill(kind: str) -> None:
    assert fill_of(FILL | {"execType": kind}, INSTRUMENT) is not None


@pytest.mark.parametrize("wrong", [{"side": ""}, {"execId": ""}, {"execQty": "many"}, {"execPrice": "NaN"}])
def test_a_broken_execution_is_an_error_not_a_guess(wrong: dict[str, str]) -> None:
    with pytest.raises(UnknownMessage):
        fill_of(FILL | wrong, INSTRUMENT)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("New", VenueStatus.OPEN),
        ("PartiallyFilled", VenueStatus.OPEN),
        ("Filled", VenueStatus.FILLED),
        ("Cancelled", VenueStatus.CANCELLED),
        ("PartiallyFilledCanceled", VenueStatus.CANCELLED),
        ("Deactivated", VenueStatus.CANCELLED),
        ("Rejected", VenueStatus.REJECTED),
    ],
)
def test_statuses(status: str, meaning: VenueStatus) -> None:
    assert report_of(ORDER | {"orderStatus": status}).status is meaning


def test_an_unknown_status_is_an_error() -> None:
    with pytest.raises(UnknownMessage, match="Sleeping"):
        report_of(ORDER | {"orderStatus": "Sleeping"})


def test_a_late_post_only_refusal_says_why() -> None:
    row = ORDER | {"orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity", "cancelType": "UNKNOWN"}
    assert report_of(row).reason == "EC_PostOnlyWillTakeLiquidity"
    assert report_of(ORDER | {"orderStatus": "Cancelled", "cancelType": "CancelByUser"}).reason == "CancelByUser"


def test_an_order_as_it_is_sent() -> None:
    body = create_body(an_order(price=Decimal("1E+5"), reduce_only=True), RULES, "linear")
    assert body == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.020",
        "price": "100000",
        "timeInForce": "IOC",
        "orderLinkId": "test-1",
        "positionIdx": 0,
        "reduceOnly": True,
    }


def test_filters_of_a_closed_instrument_are_refused() -> None:
    row: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "status": "Trading",
        "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "100", "minNotionalValue": "5"},
    }
    assert rules_of(row, INSTRUMENT) == RULES
    with pytest.raises(UnknownMessage, match="PreLaunch"):
        rules_of(row | {"status": "PreLaunch"}, INSTRUMENT)
    with pytest.raises(UnknownMessage, match="tickSize"):
        rules_of(row | {"priceFilter": {}}, INSTRUMENT)


def test_recorded_private_frames_are_understood(data_dir: Path) -> None:
    folder = data_dir / "bybit_v5_messages" / "nexustrader"
    rows = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            message = json.loads(line)
            if message.get("topic") == "order":
                rows += message["data"]
    assert len(rows) >= 20
    statuses = {report_of(row).status for row in rows}
    assert statuses == {VenueStatus.OPEN, VenueStatus.FILLED, VenueStatus.CANCELLED}
    for row in rows:
        listed = venue_order_of(row, INSTRUMENT, "paper", 0)
        assert listed.details.quantity > 0


def test_recorded_executions_are_understood(data_dir: Path) -> None:
    file = data_dir / "bybit_v5_messages" / "hirokisan" / "v5-execution-get-execution-list.json"
    rows = json.loads(file.read_text())["list"]
    assert rows
    assert all(fill is None or fill.quantity > 0 for fill in (fill_of(row, INSTRUMENT) for row in rows))
