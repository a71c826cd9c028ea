"""Counts and logs what the service does."""

from __future__ import annotations

from collections.abc import Sequence

from libs.runtime import metrics
from libs.runtime.logs import get_logger
from libs.trading.features.spec import NotReady
from libs.trading.features.vector import FeatureVector
from services.feature_store.domain import not_ready_counts

log = get_logger("feature_store")


class PrometheusNotices:
    """Metrics of metrics.yaml under feature_store_."""

    def __init__(self) -> None:
        self._lag_unknown = ""

    def read(self, instrument: str, rows: int) -> None:
        metrics.counter("feature_store_events_total").labels(instrument).inc(rows)

    def published(self, vectors: Sequence[FeatureVector], seconds: float) -> None:
        metrics.histogram("feature_store_record_seconds").observe(seconds)
        for reason, count in not_ready_counts(vectors).items():
            metrics.counter("feature_store_not_ready_total").labels(NotReady(reason).name).inc(count)

    def acknowledged(self, instrument: str, vectors: int) -> None:
        metrics.counter("feature_store_vectors_total").labels(instrument).inc(vectors)
        metrics.gauge("feature_store_last_vector_timestamp_seconds").labels(instrument).set_to_current_time()

    def buried(self, partition: int, offset: int, reason: str) -> None:
        metrics.counter("feature_store_poison_total").inc()
        log.error("poison record", partition=partition, offset=offset, reason=reason)

    def restored(self, partition: int, position: int, instruments: Sequence[str]) -> None:
        log.info("reading", partition=partition, position=position, restored=list(instruments))

    def snapshot_refused(self, instrument: str, reason: str) -> None:
        log.warning("snapshot refused, reading the log from its beginning", instrument=instrument, reason=reason)

    def lag(self, partition: int, records: int) -> None:
        self._lag_unknown = ""
        metrics.gauge("feature_store_lag_records").labels(str(partition)).set(records)

    def lag_unknown(self, reason: str) -> None:
        if reason != self._lag_unknown:
            log.warning("waiting for the broker", reason=reason)
        self._lag_unknown = reason
