"""The history of models on the topic models.events, keyed by model name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from google.protobuf.message import DecodeError

from libs.runtime.kafka import Consumer, KafkaUnavailable, Producer, Record, SendFailed
from libs.runtime.logs import get_logger
from libs.trading.market import Provenance
from libs.trading.scoring import Scope
from libs.wire.payload import check_payload, payload_header
from protos.models.v1 import models_pb2
from services.model_serving.domain import ALIASES, ROLES, Change, ChangeKind, Signed
from services.model_serving.ports import HistoryUnavailable

TOPIC = "models.events"
ANSWER_S = 10.0
MAX_EMPTY_POLLS = 100

log = get_logger("history")


class KafkaHistory:
    """Reads with a fresh consumer each time (a start reads once), writes with the service's producer."""

    def __init__(self, open_reader: Callable[[], Consumer], producer: Producer) -> None:
        self._open_reader = open_reader
        self._producer = producer

    def read(self) -> list[Change]:
        consumer = self._open_reader()
        try:
            records = read_to_end(consumer, TOPIC)
        except KafkaUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        finally:
            consumer.close()
        changes = (change_of(record) for record in records)
        return [change for change in changes if change is not None]

    def write(self, change: Change) -> None:
        try:
            value = event_of(change).SerializeToString()
            key, headers = change.model_name.encode(), [payload_header(TOPIC)]
            sent = self._producer.send(TOPIC, key=key, value=value, headers=headers)
            sent.result(ANSWER_S)
        except (SendFailed, KafkaUnavailable, FutureTimeout) as error:
            raise HistoryUnavailable(f"{TOPIC}: {error or 'no answer in time'}") from error


def read_to_end(consumer: Consumer, topic: str) -> list[Record]:
    """Every record up to where the topic ended when asked. Raises KafkaUnavailable."""
    partitions = consumer.partitions_for(topic)
    ends = consumer.end_offsets(partitions)
    begins = consumer.beginning_offsets(partitions)
    left = {part: end for part, end in ends.items() if end > begins[part]}
    consumer.assign(dict.fromkeys(left, "earliest"))
    records: list[Record] = []
    empty = 0
    while left:
        batch = consumer.poll(0.2)
        empty = 0 if batch else empty + 1
        if empty > MAX_EMPTY_POLLS:
            raise KafkaUnavailable(f"{topic}: nothing more came before its end")
        records += batch
        for record in batch:
            for part in [part for part in left if part.partition == record.partition]:
                if record.offset + 1 >= left[part]:
                    del left[part]
    return records


def event_of(change: Change) -> models_pb2.ModelEvent:
    # enums go in as numbers typed Any: generated stubs disagree about what they want
    kind: Any = int(change.kind)
    provenance: Any = int(change.provenance) if change.provenance is not None else 0
    evidence: Any = int(change.evidence)
    return models_pb2.ModelEvent(
        model_name=change.model_name,
        version=change.version,
        bundle_digest=change.digest,
        kind=kind,
        alias=ALIASES[change.role],
        reason=change.reason,
        time_ns=change.time,
        provenance=provenance,
        evidence=evidence,
        integrity=_message(change.integrity),
        evidence_verdict=_message(change.evidence_verdict),
    )


def change_of(record: Record) -> Change | None:
    """None for what is not about an alias (a registration) and for what nobody can read; the latter is logged."""
    event = models_pb2.ModelEvent()
    try:
        check_payload(TOPIC, record.headers)
        event.ParseFromString(record.value or b"")
        kind = ChangeKind(event.kind)
        if event.alias not in ROLES:
            return None
        return Change(
            kind,
            event.model_name,
            ROLES[event.alias],
            event.version,
            event.bundle_digest,
            event.reason,
            event.time_ns,
            Provenance(event.provenance) if event.provenance else None,
            Scope(event.evidence),
            _signed(event.integrity),
            _signed(event.evidence_verdict),
        )
    except (DecodeError, ValueError) as error:
        log.error("a model event that cannot be read was passed over", offset=record.offset, error=str(error))
        return None


def _message(signed: Signed | None) -> models_pb2.SignedVerdict | None:
    if signed is None:
        return None
    return models_pb2.SignedVerdict(payload=signed.payload, signature=signed.signature, key_id=signed.key_id)


def _signed(message: models_pb2.SignedVerdict) -> Signed | None:
    return None if not message.signature else Signed(message.payload, message.signature, message.key_id)
