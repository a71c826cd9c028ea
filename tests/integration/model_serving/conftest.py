"""A place for serving on the real broker and the real MLflow server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig
from tests.integration.model_serving.place import Place


@pytest.fixture
def place(kafka_prefix: KafkaConfig, mlflow_server: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(kafka_prefix, mlflow_server, tmp_path / "place")
    try:
        yield place
    finally:
        place.kill()
