"""The venue's public frames have exactly the fields, types and spellings of Bybit's recorded ones."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from services.exchange_simulator.adapters.public_frames import PublicFrames
from services.exchange_simulator.domain.sessions import State
from tests.builders.exchange import START, Heard, a_venue
from tests.contract.exchange_simulator.shapes import differences, json_lines


@pytest.fixture(scope="module")
def ours() -> dict[str, list[Any]]:
    """Ten minutes of the generator's frames by kind of topic."""
    heard = Heard()
    venue = a_venue(heard, training_s=600)
    venue.begin(START)
    while venue.session.state is State.PLAYING_TRAINING:
        venue.advance(START)
    frames, found = PublicFrames(venue.instrument), defaultdict(list)
    for frame in heard.frames:
        topic, body = frames.render(frame)
        if body is not None:
            found[topic.split(".")[0]].append(json.loads(body))
    return found


def scout(data_dir: Path, name: str) -> Any:
    return json.loads((data_dir / f"bybit_v5_messages/crypto_scout/bybit-linear/{name}.json").read_text())


def tardis(data_dir: Path, kind: str) -> list[Any]:
    folder = data_dir / "bybit_v5_messages/tardis"
    lines = json_lines(folder / "bybit_v5_linear_inverse.jsonl") + json_lines(folder / "bybit_v5_all_liquidation.jsonl")
    return [line for line in lines if line["topic"].startswith(f"{kind}.")]


def test_the_book_has_the_fields_of_a_recorded_one(ours: dict[str, list[Any]], data_dir: Path) -> None:
    real = [scout(data_dir, "orderbook.50")]
    assert {frame["type"] for frame in ours["orderbook"]} == {"snapshot", "delta"}
    assert differences(ours["orderbook"], real) == []


def test_a_trade_has_the_fields_of_a_recorded_one(ours: dict[str, list[Any]], data_dir: Path) -> None:
    assert differences(ours["publicTrade"], [scout(data_dir, "publicTrade")]) == []
    directions = {trade["L"] for frame in ours["publicTrade"] for trade in frame["data"]}
    assert directions == {"PlusTick", "ZeroPlusTick", "MinusTick", "ZeroMinusTick"}


def test_the_first_ticker_is_whole_and_later_ones_carry_some_of_its_fields(
    ours: dict[str, list[Any]], data_dir: Path
) -> None:
    real = [scout(data_dir, "tickers")]
    snapshot, *deltas = ours["tickers"]
    assert snapshot["type"] == "snapshot"
    assert differences([snapshot], real) == []
    assert deltas
    assert all(frame["type"] == "delta" and set(frame["data"]) < set(snapshot["data"]) for frame in deltas)
    filled_up = [{**frame, "data": {**snapshot["data"], **frame["data"]}} for frame in deltas]
    assert differences(filled_up, real) == []


def test_a_liquidation_has_the_fields_of_a_recorded_one(ours: dict[str, list[Any]], data_dir: Path) -> None:
    assert ours["allLiquidation"]
    assert differences(ours["allLiquidation"], tardis(data_dir, "allLiquidation")) == []


def test_a_missing_or_renamed_field_is_noticed(data_dir: Path) -> None:
    real = scout(data_dir, "orderbook.50")
    renamed = {**real, "data": {**real["data"], "U": 1}}
    less = {key: value for key, value in real.items() if key != "cts"}
    number = {**real, "data": {**real["data"], "b": [[117519.9, "6.689"]]}}
    assert differences([renamed], [real])
    assert differences([less], [real])
    assert differences([number], [real])


def test_whoever_applies_every_book_frame_holds_fifty_sorted_levels_a_side(ours: dict[str, list[Any]]) -> None:
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    last = 0
    for frame in ours["orderbook"]:
        data = frame["data"]
        assert data["u"] == last + 1
        last = data["u"]
        for side, levels in ((bids, data["b"]), (asks, data["a"])):
            for price, size in levels:
                if size == "0":
                    del side[price]
                else:
                    side[price] = size
        assert len(bids) <= 50
        assert len(asks) <= 50
        assert max(map(float, bids)) < min(map(float, asks))
