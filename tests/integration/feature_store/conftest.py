"""A place for the feature store on the real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig
from tests.integration.feature_store.place import Place


@pytest.fixture
def place(kafka_prefix: KafkaConfig, tmp_path: Path) -> Iterator[Place]:
    place = Place(kafka_prefix, tmp_path / "feature_store.log")
    try:
        yield place
    finally:
        place.kill()
