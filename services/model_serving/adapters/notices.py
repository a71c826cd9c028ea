"""Tells logs, metrics and the alerts topic what happened to models and vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from libs.runtime.kafka import KafkaUnavailable, Position, Producer
from libs.runtime.logs import get_logger
from libs.runtime.metrics import counter, gauge
from libs.trading.scoring import DIRECTION_CLASSES, Prediction, Role
from libs.wire.payload import payload_header
from protos.alerts.v1 import alerts_pb2
from services.model_serving.domain import ALIASES, ModelFacts, Unscored

SOURCE = "model_serving"
WARNING: Any = alerts_pb2.SEVERITY_WARNING
REASON_LABEL_CHARACTERS = 200

log = get_logger(SOURCE)


class ServiceNotices:
    """`clock` gives wall ns for alerts."""

    def __init__(self, producer: Producer, clock: Callable[[], int]) -> None:
        self._producer = producer
        self._clock = clock
        self._away: dict[str, str] = {}
        self._shown: dict[Role, tuple[str, ...]] = {}
        self._shown_refused: dict[Role, tuple[str, ...]] = {}

    def serving(self, facts: ModelFacts, role: Role) -> None:
        labels = (ALIASES[role], str(facts.version), facts.digest, facts.provenance.name, facts.evidence.name)
        _show("model_serving_model_info", self._shown, role, labels)
        self._forget_age(role)
        _show("model_serving_refused_info", self._shown_refused, role, None)
        log.info(
            "serving",
            alias=ALIASES[role],
            version=facts.version,
            digest=facts.digest,
            provenance=facts.provenance.name,
            evidence=facts.evidence.name,
        )

    def refused(self, role: Role, version: int, digest: str, code: str, reason: str) -> None:
        labels = (ALIASES[role], str(version), reason[:REASON_LABEL_CHARACTERS])
        _show("model_serving_refused_info", self._shown_refused, role, labels)
        log.warning("refused", alias=ALIASES[role], version=version, digest=digest, code=code, reason=reason)
        self._alert("MODEL_REFUSED", reason, {"alias": ALIASES[role], "version": str(version), "code": code})

    def still_refused(self, role: Role, version: int, reason: str) -> None:
        labels = (ALIASES[role], str(version), reason[:REASON_LABEL_CHARACTERS])
        _show("model_serving_refused_info", self._shown_refused, role, labels)
        log.warning("refused before this start", alias=ALIASES[role], version=version, reason=reason)

    def refusal_over(self, role: Role, version: int) -> None:
        _show("model_serving_refused_info", self._shown_refused, role, None)
        log.info("the alias no longer names the refused version", alias=ALIASES[role], version=version)

    def created(self, role: Role, wall_ns: int) -> None:
        gauge("model_serving_model_created_timestamp_seconds").labels(ALIASES[role]).set(wall_ns / 1e9)

    def newest_created(self, wall_ns: int | None) -> None:
        if wall_ns is not None:
            gauge("model_serving_newest_version_timestamp_seconds").set(wall_ns / 1e9)

    def _forget_age(self, role: Role) -> None:
        with suppress(KeyError):
            gauge("model_serving_model_created_timestamp_seconds").remove(ALIASES[role])

    def retired(self, role: Role, version: int) -> None:
        self._forget_age(role)
        _show("model_serving_model_info", self._shown, role, None)
        _show("model_serving_refused_info", self._shown_refused, role, None)
        log.warning("retired: the alias was removed", alias=ALIASES[role], version=version)
        labels = {"alias": ALIASES[role], "version": str(version)}
        self._alert("MODEL_RETIRED", "the alias was removed; nobody serves it now", labels)

    def waiting(self, dependency: str, reason: str | None) -> None:
        if dependency == "registry":
            gauge("model_serving_registry_up").set(reason is None)
        if reason is not None and dependency not in self._away:
            log.warning("waiting; what serves goes on", dependency=dependency, reason=reason)
            self._away[dependency] = reason
        elif reason is None and self._away.pop(dependency, None) is not None:
            log.info("back", dependency=dependency)

    def unscored(self, reason: Unscored, count: int) -> None:
        counter("model_serving_unscored_total").labels(reason.value).inc(count)

    def predicted(self, predictions: Sequence[Prediction]) -> None:
        for role in Role:
            of_role = [prediction for prediction in predictions if prediction.role is role]
            if of_role:
                counter("model_serving_predictions_total").labels(ALIASES[role]).inc(len(of_role))
                newest = gauge("model_serving_last_prediction_timestamp_seconds").labels(ALIASES[role])
                newest.set(self._clock() / 1e9)
                if of_role[-1].classes == DIRECTION_CLASSES:
                    gauge("model_serving_last_score").labels(ALIASES[role]).set(of_role[-1].score)

    def _alert(self, code: str, message: str, labels: Mapping[str, str]) -> None:
        alert = alerts_pb2.Alert(
            source=SOURCE, severity=WARNING, code=code, message=message, time_ns=self._clock(), labels=labels
        )
        try:
            value, headers = alert.SerializeToString(), [payload_header("alerts")]
            sent = self._producer.send("alerts", key=SOURCE.encode(), value=value, headers=headers)
        except KafkaUnavailable as error:
            log.error("alert not sent", code=code, error=str(error))
            return
        sent.add_done_callback(lambda future: _report(future, code))


def _report(future: Future[Position], code: str) -> None:
    error = future.exception()
    if error is not None:
        log.error("alert not sent", code=code, error=str(error))


def _show(name: str, shown: dict[Role, tuple[str, ...]], role: Role, labels: tuple[str, ...] | None) -> None:
    before = shown.pop(role, None)
    if before is not None:
        gauge(name).remove(*before)
    if labels is not None:
        gauge(name).labels(*labels).set(1)
        shown[role] = labels
