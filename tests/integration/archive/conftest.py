"""The two places where an archive may lie, each with its own archive process; every test that asks runs on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig
from tests.builders.object_store import ObjectStore, Spot
from tests.builders.processes import ServiceProcess

ROLLS_FAST = {"ROLL_SECONDS": "0.05", "ROLL_ROWS": "200", "TAKEOVER_SECONDS": "0.3"}


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 of this run's own; a test that does something to it takes `own_store` instead."""
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    store.start()
    yield store
    store.stop()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[ObjectStore]:
    """An S3 of this test's own: its line may be cut, it may hang, and it may check keys."""
    store = ObjectStore(tmp_path)
    store.start()
    yield store
    store.wake()
    store.stop()


@pytest.fixture(params=["folder", "bucket"])
def spot(request: pytest.FixtureRequest, tmp_path: Path) -> Spot:
    if request.param == "folder":
        return Spot(str(tmp_path / "archive"), {})
    store: ObjectStore = request.getfixturevalue("object_store")
    return Spot(store.new_bucket(), store.environment())


@pytest.fixture
def service(kafka_prefix: KafkaConfig, spot: Spot, tmp_path: Path) -> Iterator[ServiceProcess]:
    service = an_archive(kafka_prefix, spot, tmp_path / "log")
    yield service
    service.kill()


def an_archive(kafka: KafkaConfig, spot: Spot, log: Path) -> ServiceProcess:
    settings = {"FOLDER": spot.address} | ROLLS_FAST
    return ServiceProcess("archive", kafka, log, settings, environment=spot.environment)
