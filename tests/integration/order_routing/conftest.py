"""One venue for the room, one router place for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig
from tests.integration.order_routing.place import RouterPlace, VenuePlace


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenuePlace]:
    place = VenuePlace(tmp_path_factory.mktemp("venue"))
    try:
        place.start()
        yield place
    finally:
        place.stop()


@pytest.fixture(scope="module")
def router(kafka: KafkaConfig, venue: VenuePlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterPlace]:
    """One account for the module: what a test leaves behind, the next one starts from."""
    config = replace(kafka, topic_prefix=f"orders-{uuid4().hex[:8]}.")
    create_topics(config.bootstrap, config.topic_prefix)
    folder: Path = tmp_path_factory.mktemp("router")
    place = RouterPlace(config, venue, folder)
    place.vouch()
    try:
        yield place
    finally:
        place.stop()
        place.producer.close()
