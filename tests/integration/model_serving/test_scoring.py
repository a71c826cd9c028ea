"""From features.vectors to predictions on a real broker: complete, once in effect, counted where nothing is said."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import pytest

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.features.catalogue import full_spec
from libs.trading.features.vector import FeatureVector
from libs.trading.market import Provenance
from libs.trading.scoring import Prediction, Role, prediction_id
from libs.wire.features import encode_vector
from libs.wire.predictions import decode_prediction
from tests.builders.bundles import BAR_INTERVAL, NAMES, weights
from tests.builders.processes import wait_for
from tests.builders.vectors import a_vector
from tests.integration.model_serving.place import Place

UNSCORED = "model_serving_unscored_total"


def send(place: Place, vectors: list[FeatureVector], pause_s: float = 0.0) -> None:
    producer = open_producer(place.kafka, "test-writer")
    sent = []
    for vector in vectors:
        key = vector.instrument.encode()
        sent.append(producer.send("features.vectors", key=key, value=encode_vector(vector)))
        time.sleep(pause_s)
    for future in sent:
        future.result(10.0)
    producer.close()


def predictions(place: Place) -> list[Prediction]:
    return [decode_prediction(record.value or b"") for record in place.read("predictions")]


def by_vector(place: Place) -> dict[str, list[Prediction]]:
    found = defaultdict(list)
    for prediction in predictions(place):
        found[prediction.vector_id].append(prediction)
    return found


def stretch(count: int) -> list[FeatureVector]:
    """Two instruments in turn."""
    return [
        a_vector({NAMES[0]: n % 7 - 3.0}, ordinal=n, instrument=f"bybit.linear.{'BTC' if n % 2 else 'ETH'}USDT")
        for n in range(count)
    ]


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_champion_and_challenger_speak_about_each_vector_and_say_where_it_came_from(place: Place, client: str) -> None:
    place.start(KAFKA__CLIENT=client)
    version = place.champion("champion")
    other = place.version("challenger", table=weights(3, slope=2.0))
    place.wish("challenger", other)
    wait_for(lambda: place.serves(Role.CHALLENGER) == other)
    vectors = stretch(20)
    send(place, vectors)
    wait_for(lambda: len(predictions(place)) == 40)
    for vector in vectors:
        roles = {prediction.role: prediction for prediction in by_vector(place)[vector.id]}
        assert set(roles) == {Role.CHAMPION, Role.CHALLENGER}
        said = roles[Role.CHAMPION]
        assert said.id == prediction_id(vector.id, said.bundle_digest)
        assert (said.model_version, said.quote, said.clock) == (version, vector.quote, vector.clock)
        assert (said.received_time, said.as_of, said.session) == (vector.received_time, vector.as_of, vector.session)
        assert said.vector_written <= said.predicted
        assert said.decision_threshold == 0.2
    wait_for(lambda: place.metric("model_serving_predictions_total", role="champion") == 20)


def test_what_may_not_be_scored_is_counted_and_what_cannot_be_read_is_buried(place: Place) -> None:
    place.start()
    place.champion("champion")
    other = full_spec(BAR_INTERVAL, 10**9)
    send(place, [a_vector(ordinal=1, not_ready=(NAMES[1],)), a_vector(ordinal=2, provenance=Provenance.RECORDED)])
    send(place, [a_vector(ordinal=3, spec=other), a_vector(ordinal=4, not_ready=("close",)), a_vector(ordinal=5)])
    producer = open_producer(place.kafka, "test-writer")
    producer.send("features.vectors", key=b"x", value=b"\xff not a vector").result(10.0)
    producer.close()
    wait_for(lambda: len(place.read("features.vectors.dead")) == 1)
    wait_for(lambda: len(predictions(place)) == 2, why="a feature outside the view need not be ready")
    assert {prediction.as_of for prediction in predictions(place)} == {a_vector(ordinal=n).as_of for n in (4, 5)}
    for reason in ("NOT_READY", "SIMULATED_MODEL", "OTHER_SPEC"):
        assert place.metric(UNSCORED, reason=reason) == 1
    [buried] = place.read("features.vectors.dead")
    assert buried.value == b"\xff not a vector"
    assert b"FeatureVector" in dict(buried.headers)["reason"]


def test_a_kill_in_the_middle_leaves_no_vector_unscored_and_repeats_say_the_same(place: Place) -> None:
    place.start()
    place.champion("champion")
    vectors = stretch(3000)
    send(place, vectors[:1500])
    wait_for(lambda: len(by_vector(place)) > 100)
    place.kill()
    send(place, vectors[1500:])
    place.start()
    wait_for(lambda: len(by_vector(place)) == 3000)
    for repeats in by_vector(place).values():
        assert len({(p.id, p.probabilities, p.bundle_digest) for p in repeats}) == 1


def test_a_swap_under_load_scores_every_vector_once(place: Place) -> None:
    place.start()
    first = place.champion("first")
    second = place.version("second", table=weights(3, slope=2.0))
    vectors = stretch(30_000)
    sent = 0

    def send_more() -> None:
        nonlocal sent
        send(place, vectors[sent : sent + 100], pause_s=0.001)
        sent += 100

    send_more()
    wait_for(lambda: predictions(place), why="the first one scores")
    place.wish("champion", second)
    while place.serves() != second:
        send_more()
    send_more()
    wait_for(lambda: len(by_vector(place)) == sent)
    found = by_vector(place)
    assert {len(said) for said in found.values()} == {1}
    assert {said[0].model_version for said in found.values()} == {first, second}


@pytest.mark.slow
def test_a_broker_that_is_away_at_the_start_and_in_the_middle_is_waited_for(mlflow_server: str, tmp_path: Path) -> None:
    broker = Broker(BrokerPlace(tmp_path / "broker", free_port(), free_port()))
    place = Place(KafkaConfig(broker.bootstrap, topic_prefix="t."), mlflow_server, tmp_path / "place")
    try:
        place.start(wait=False)
        wait_for(lambda: "waiting" in place.log.read_text())
        broker.start()
        create_topics(broker.bootstrap, "t.")
        wait_for(place.is_ready)
        place.champion("champion")
        send(place, stretch(10))
        wait_for(lambda: len(by_vector(place)) == 10)
        broker.kill()
        time.sleep(1.0)
        broker.start()
        send(place, stretch(20)[10:])
        wait_for(lambda: len(by_vector(place)) == 20)
        assert place.stop() == 0
    finally:
        place.kill()
        broker.stop()
