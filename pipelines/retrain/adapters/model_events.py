"""Tells `models.events` that a version was registered, with both signed verdicts."""

from __future__ import annotations

from libs.bundle.folder import Bundle
from libs.bundle.manifest import MODEL_NAME
from libs.bundle.verdict import to_message
from libs.runtime.kafka import KafkaConfig, open_producer
from libs.wire.payload import payload_header
from pipelines.retrain.adapters.run_folder import NotYet
from protos.market.v1 import market_pb2
from protos.models.v1 import models_pb2

TOPIC = "models.events"
PATIENCE_S = 20.0


def tell_registered(
    kafka: KafkaConfig, bundle: Bundle, version: int, alias: str, evidence: int, reasons: str, time_ns: int
) -> None:
    """Send one record and wait for the broker's acknowledgement. Raises NotYet when it does not come."""
    event = models_pb2.ModelEvent(
        model_name=MODEL_NAME,
        version=version,
        bundle_digest=bundle.digest,
        kind=models_pb2.MODEL_EVENT_KIND_REGISTERED,
        alias=alias,
        reason=reasons,
        time_ns=time_ns,
        provenance=market_pb2.Provenance.Name(bundle.manifest.dataset.provenance.value),
        evidence=models_pb2.Scope.Name(evidence),
        integrity=None if bundle.integrity is None else to_message(bundle.integrity),
        evidence_verdict=None if bundle.evidence is None else to_message(bundle.evidence),
    )
    value, headers = event.SerializeToString(), [payload_header(TOPIC)]
    producer = open_producer(kafka, "retrain")
    try:
        sent = producer.send(TOPIC, key=MODEL_NAME.encode(), value=value, headers=headers)
        sent.result(PATIENCE_S)
    except Exception as error:
        raise NotYet(f"{TOPIC} at {kafka.bootstrap} did not take the registration: {error!r}") from error
    finally:
        producer.close(1.0)
