"""The registration of a version reaches `models.events` with both signed verdicts, or the run says that it did not."""

from __future__ import annotations

import time
from io import StringIO

import pytest
from rich.console import Console

from libs.bundle.folder import read_bundle
from libs.bundle.keys import trusted_keys
from libs.bundle.manifest import MODEL_NAME
from libs.bundle.trust import Scope
from libs.bundle.verdict import from_message, verify_evidence, verify_integrity
from libs.runtime.kafka import KafkaConfig, TopicPartition, open_consumer
from pipelines.retrain.adapters import model_events
from pipelines.retrain.adapters.key_folder import make_keys
from pipelines.retrain.adapters.run_folder import RunError, RunFolder
from pipelines.retrain.local import STEPS, LocalRun, Places
from pipelines.retrain.report.progress import StepProgress
from protos.models.v1 import models_pb2
from tests.builders.snapshots import a_request, a_snapshot

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    path = tmp_path_factory.mktemp("judged")
    console = Console(file=StringIO())
    progress, places = StepProgress(console, time.monotonic), Places(None, None, path / "keys")
    local = LocalRun(RunFolder(path / "runs" / "a"), a_request(), places, progress, console, time.time_ns)
    a_snapshot(local.folder)
    for step in list(STEPS)[1:]:
        local.run(step)
    return local


def test_the_event_carries_what_any_service_needs_to_believe_it(kafka_prefix: KafkaConfig, judged: LocalRun) -> None:
    bundle = read_bundle(judged.folder.bundle)
    model_events.tell_registered(kafka_prefix, bundle, 7, "champion", Scope.SIMULATED, "", 123)
    event = models_pb2.ModelEvent.FromString(_first(kafka_prefix))
    assert (event.model_name, event.version, event.alias, event.time_ns) == (MODEL_NAME, 7, "champion", 123)
    assert event.kind == models_pb2.MODEL_EVENT_KIND_REGISTERED
    assert event.bundle_digest == bundle.digest
    training, gate = (trusted_keys([file]) for file in make_keys(judged.places.keys))
    assert verify_integrity(from_message(event.integrity), training).bundle_digest == bundle.digest
    assert verify_evidence(from_message(event.evidence_verdict), gate).scope is Scope.SIMULATED


def test_a_broker_that_does_not_answer_is_named(judged: LocalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_events, "PATIENCE_S", 1.0)
    nowhere = KafkaConfig("127.0.0.1:9", "confluent")
    with pytest.raises(RunError, match=r"models\.events at 127\.0\.0\.1:9 did not take the registration"):
        model_events.tell_registered(nowhere, read_bundle(judged.folder.bundle), 1, "", Scope.NONE, "", 0)


def _first(kafka: KafkaConfig) -> bytes:
    consumer = open_consumer(kafka, "test")
    try:
        consumer.assign({TopicPartition(model_events.TOPIC, 0): 0})
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for record in consumer.poll(0.5):
                assert record.key == MODEL_NAME.encode()
                assert record.value is not None
                return record.value
    finally:
        consumer.close()
    raise AssertionError("no record came")
