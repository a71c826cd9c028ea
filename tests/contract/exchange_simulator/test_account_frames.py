"""The venue's private frames have exactly the fields, types and spellings of Bybit's recorded ones."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from libs.trading.market import Side
from services.exchange_simulator.adapters import account_shapes as shapes
from services.exchange_simulator.domain.orders import Accepted, TimeInForce
from services.exchange_simulator.handlers import Venue
from tests.builders.exchange import KEY, START, Heard, a_venue, an_order, trading
from tests.contract.exchange_simulator.shapes import differences, json_lines


@pytest.fixture(scope="module")
def heard() -> Heard:
    """What the private stream has to say of a filled, a cancelled, a resting and a refused-as-taker order."""
    heard = Heard()
    venue: Venue = trading(a_venue(heard))
    venue.place(KEY, an_order(Side.BUY, "0.020", link_id="entry"), START)
    venue.place(KEY, an_order(Side.SELL, "0.010", reduce_only=True), START)
    resting = venue.place(KEY, an_order(Side.BUY, price="19500", tif=TimeInForce.POST_ONLY), START)
    assert isinstance(resting, Accepted)
    venue.cancel(KEY, resting.order_id, "", START)
    venue.place(KEY, an_order(Side.BUY, price="20500", tif=TimeInForce.POST_ONLY), START)
    return heard


def real_rows(data_dir: Path, name: str) -> list[Any]:
    lines = json_lines(data_dir / f"bybit_v5_messages/nexustrader/bybit_{name}.jsonl")
    return [row for line in lines for row in line.get("data", [])]


def rest_rows(data_dir: Path, name: str) -> list[Any]:
    answer = json.loads((data_dir / f"bybit_v5_messages/hirokisan/{name}.json").read_text())
    rows: list[Any] = answer["list"]
    return rows


def test_an_order_row_is_a_recorded_order_row(heard: Heard, data_dir: Path) -> None:
    ours = [shapes.order_stream(order) for changes in heard.changes for order in changes.orders]
    assert {row["orderStatus"] for row in ours} >= {"New", "Filled", "Cancelled"}
    also = {".orderLinkId": "text"}
    assert differences(ours, real_rows(data_dir, "order_stream"), also) == []


def test_a_position_row_is_a_recorded_position_row(heard: Heard, data_dir: Path) -> None:
    ours = [shapes.position_stream(h, Decimal(20_000)) for c in heard.changes for h in c.holdings.values()]
    assert ours
    assert differences(ours, real_rows(data_dir, "position")) == []


def test_an_execution_row_has_every_field_of_a_recorded_one(heard: Heard, data_dir: Path) -> None:
    """The recorded ones are of 2023; the venue has added fields since, so ours may have more."""
    ours = [shapes.execution_row(execution) for changes in heard.changes for execution in changes.executions]
    real = rest_rows(data_dir, "v5-execution-get-execution-list")
    known = {key for row in real for key in row}
    assert ours
    trimmed = [{key: value for key, value in row.items() if key in known} for row in ours]
    assert differences(trimmed, real, {".orderLinkId": "text"}) == []


def test_an_order_that_is_asked_for_has_every_field_of_a_recorded_one(heard: Heard, data_dir: Path) -> None:
    known = {key for row in rest_rows(data_dir, "v5-get-open-orders") for key in row}
    for changes in heard.changes:
        for order in changes.orders:
            assert known <= set(shapes.order_row(order))


def test_a_wallet_and_a_position_have_every_field_of_recorded_ones(data_dir: Path) -> None:
    venue = trading(a_venue())
    wallet = shapes.wallet_row(venue.account(KEY), venue.instrument, venue.mark)
    assert differences([wallet], rest_rows(data_dir, "v5-account-get-wallet-balance")) == []
    position = shapes.position_rest(venue.account(KEY).holding("BTCUSDT", 1), venue.mark)
    assert set(position) >= set(rest_rows(data_dir, "v5-position-get-position-info")[0])
