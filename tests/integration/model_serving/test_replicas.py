"""Two replicas share the vectors: scaled up and down again under load, nothing is lost and nothing is said twice."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from libs.runtime.kafka import open_producer
from libs.trading.features.vector import FeatureVector
from libs.trading.scoring import Prediction, Role
from libs.wire.features import encode_vector
from libs.wire.predictions import decode_prediction
from tests.builders.bundles import NAMES, weights
from tests.builders.processes import wait_for
from tests.builders.vectors import a_vector
from tests.integration.model_serving.place import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

INSTRUMENTS = [f"bybit.linear.I{number}USDT" for number in range(16)]  # more than one in each partition
PREDICTED = "model_serving_predictions_total"


class Load:
    """Vectors of all instruments in turn, until told to end; `sent` are those that the log has."""

    def __init__(self, place: Place) -> None:
        self.sent: list[FeatureVector] = []
        self._producer = open_producer(place.kafka, "test-load")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> list[FeatureVector]:
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(10.0)
        self._producer.close()
        return self.sent

    def _run(self) -> None:
        while not self._stop.is_set():
            number = len(self.sent)
            vector = a_vector({NAMES[0]: number % 7 - 3.0}, ordinal=number, instrument=INSTRUMENTS[number % 16])
            self._producer.send("features.vectors", key=vector.instrument.encode(), value=encode_vector(vector))
            self.sent.append(vector)
            time.sleep(0.005)


@pytest.fixture
def second(place: Place, tmp_path: Path) -> Iterator[Place]:
    """Another replica of the same release: its own name and cache, the same group, model and keys."""
    other = Place(place.kafka, place.mlflow, tmp_path / "second")
    cache = other.settings["CACHE_FOLDER"]
    other.model = place.model
    other.settings = place.settings | {"INSTANCE_ID": "model_serving-1", "CACHE_FOLDER": cache}
    try:
        yield other
    finally:
        other.kill()


def test_scaled_to_two_and_back_every_vector_gets_one_prediction_of_each_role(place: Place, second: Place) -> None:
    place.start()
    place.champion("champion")
    challenger = place.version("challenger", table=weights(3, slope=2.0))
    place.wish("challenger", challenger)
    wait_for(lambda: place.serves(Role.CHALLENGER) == challenger)
    load = Load(place)
    try:
        wait_for(lambda: place.metric(PREDICTED, role="champion") > 100)
        second.start()
        wait_for(lambda: second.metric(PREDICTED, role="champion") > 100, why="the second replica takes its share")
        assert second.metric("model_serving_unscored_total", reason="NO_MODEL") == 0
        before = place.metric(PREDICTED, role="champion")
        wait_for(lambda: place.metric(PREDICTED, role="champion") > before + 100, why="the first keeps its share")
        assert second.stop() == 0
        before = place.metric(PREDICTED, role="champion")
        wait_for(lambda: place.metric(PREDICTED, role="champion") > before + 100)
        second.start()
        wait_for(lambda: second.metric(PREDICTED, role="champion") > 20, why="the same name comes back")
        second.kill()
        time.sleep(2.0)
    finally:
        sent = load.end()
    wanted = {vector.id for vector in sent}
    wait_for(lambda: wanted <= by_vector(place).keys(), why="every vector is scored")
    for said in by_vector(place).values():
        assert {prediction.role for prediction in said} == {Role.CHAMPION, Role.CHALLENGER}
        # what was scored again after a partition moved says the same, but for when it was said
        assert len({repr(replace(prediction, predicted=0)) for prediction in said}) == 2
    assert place.metric("model_serving_unscored_total") == 0


def by_vector(place: Place) -> dict[str, list[Prediction]]:
    found = defaultdict(list)
    for record in place.read("predictions"):
        prediction = decode_prediction(record.value or b"")
        found[prediction.vector_id].append(prediction)
    return found
