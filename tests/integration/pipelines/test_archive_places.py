"""Retraining learns the same from an archive wherever it lies, and names the place when it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.market import MarketEvent, SessionEnd
from libs.wire.archive import archived_until
from libs.wire.market import encode_events
from pipelines.retrain.__main__ import app
from pipelines.retrain.adapters.run_folder import RunFolder, read_facts
from tests.builders import market as build
from tests.builders.object_store import ObjectStore, Spot
from tests.builders.processes import wait_for
from tests.integration.archive.conftest import an_archive, object_store

__all__ = ["object_store"]

S = 1_000_000_000
TRADES = 1200
SESSION = ("--instrument", "sim.linear.XUSDT", "--session", "s1", "--to", str(100 * S))


def snapshot(address: str, state: Path, told: Mapping[str, str], *options: str) -> Result:
    arguments = ["snapshot", "--archive", address, "--run", "r", "--state", str(state), *options]
    return CliRunner().invoke(app, arguments, env=told)


def write_a_session(kafka: KafkaConfig) -> None:
    producer = open_producer(kafka, "writer")
    for number in range(TRADES):
        head = build.a_head(instrument="sim.linear.XUSDT", session="s1", seq=number)
        trade = build.a_trade(event_time=number * S // 10, price=100.0 + number % 7, trade_id=str(number))
        events: list[MarketEvent] = [trade, SessionEnd(trade.event_time)] if number == TRADES - 1 else [trade]
        producer.send("market.events", key=b"sim.linear.XUSDT", value=encode_events(head, events))
    assert producer.flush(30)
    producer.close()


def is_archived(spot: Spot) -> bool:
    return archived_until(spot.place, "sim.linear.XUSDT", "s1") == (TRADES - 1) * S // 10


def test_a_folder_and_a_bucket_give_the_same_snapshot(
    kafka_prefix: KafkaConfig, object_store: ObjectStore, tmp_path: Path
) -> None:
    write_a_session(kafka_prefix)
    digests = []
    for name, spot in (
        ("folder", Spot(str(tmp_path / "archive"), {})),
        ("bucket", Spot(object_store.new_bucket(), object_store.environment())),
    ):
        service = an_archive(kafka_prefix, spot, tmp_path / f"{name}.log")
        service.start()
        try:
            wait_for(partial(is_archived, spot), why="the session is archived")
        finally:
            assert service.stop() == 0
        done = snapshot(spot.address, tmp_path / name, spot.environment, *SESSION)
        assert done.exit_code == 0, done.stderr
        digests.append(read_facts(RunFolder(tmp_path / name / "runs" / "r").snapshot_facts, "snapshot")["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("s3://no-such-bucket/x", 1, "s3://no-such-bucket/x: no bucket 'no-such-bucket' at http://127.0.0.1"),
        ("s3://Bucket", 1, "'s3://Bucket' is no place in a bucket: wanted s3://bucket/prefix"),
        ("gs://bucket/x", 1, "'gs://bucket/x' is no place for an archive"),
    ],
)
def test_a_place_that_is_none_is_named(
    object_store: ObjectStore, tmp_path: Path, address: str, code: int, words: str
) -> None:
    done = snapshot(address, tmp_path, object_store.environment(), *SESSION)
    assert (done.exit_code, "Traceback" in done.output) == (code, False)
    assert words in done.stderr


def test_a_bucket_that_holds_nothing_or_is_away_is_named(object_store: ObjectStore, tmp_path: Path) -> None:
    address = object_store.new_bucket()
    done = snapshot(address, tmp_path, object_store.environment(), *SESSION)
    assert done.exit_code == 1
    assert f"{address}: no market events are archived yet" in done.stderr
    nowhere = object_store.environment(endpoint="http://127.0.0.1:9")
    done = snapshot(address, tmp_path, nowhere, *SESSION, "--patience-s", "0")
    assert done.exit_code == 75
    assert f"{address} at http://127.0.0.1:9 does not answer" in done.stderr
