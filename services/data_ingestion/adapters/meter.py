"""Counts of what went wrong with a feed, as Prometheus metrics."""

from __future__ import annotations

from libs.runtime import metrics


class PrometheusMeter:
    def __init__(self) -> None:
        self._gaps = metrics.counter("data_ingestion_gaps_total")
        self._quarantined = metrics.counter("data_ingestion_quarantined_total")
        self._malformed = metrics.counter("data_ingestion_malformed_total")

    def gap(self, instrument: str) -> None:
        self._gaps.labels(instrument).inc()

    def quarantined(self, instrument: str) -> None:
        self._quarantined.labels(instrument).inc()

    def malformed(self, instrument: str) -> None:
        self._malformed.labels(instrument).inc()
