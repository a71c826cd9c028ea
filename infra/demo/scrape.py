"""Reads the services' own metrics into one flat table of samples."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
Table = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, bool]]  # value, and whether it only grows
CUMULATIVE = frozenset({"counter", "histogram"})


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples by name; each is (labels, value). A service that did not answer has none."""

    by_name: Mapping[str, tuple[tuple[Labels, float], ...]]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name whose labels match; 0 when there is none."""
        return sum(value for _, value in self.matching(name, labels))

    def first(self, name: str, **labels: str) -> float | None:
        return next((value for _, value in self.matching(name, labels)), None)

    def labels_of(self, name: str, **labels: str) -> list[Labels]:
        """The label sets of the samples of a name that are not 0: how an info metric is read."""
        return [found for found, value in self.matching(name, labels) if value]

    def matching(self, name: str, labels: Labels) -> Iterator[tuple[Labels, float]]:
        for found, value in self.by_name.get(name, ()):
            if all(found.get(key) == wanted for key, wanted in labels.items()):
                yield found, value

    def quantile(self, name: str, q: float, **labels: str) -> float | None:
        """A quantile of a histogram, interpolated inside its bucket, in the metric's unit; None when empty."""
        buckets: dict[float, float] = {}
        for found, value in self.matching(f"{name}_bucket", labels):
            bound = float(found["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
        bounds = sorted(buckets)
        if not bounds or buckets[bounds[-1]] == 0:
            return None
        rank, lower, below = q * buckets[bounds[-1]], 0.0, 0.0
        for bound in bounds:
            if buckets[bound] >= rank:
                if bound == float("inf"):
                    return lower
                inside = buckets[bound] - below
                return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
            lower, below = bound, buckets[bound]
        return lower


class Scraper:
    """Reads every service's /metrics; what a counter had before its process was restarted stays counted."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports
        self._last: dict[str, Table] = {}
        self._before: Table = {}

    def scrape(self, timeout_s: float = 1.0) -> Samples:
        """One look; a service that is down or slow keeps what it said last."""
        for service, port in self._ports.items():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer:
                    self.take(service, answer.read().decode())
            except (urllib.error.URLError, OSError, http.client.HTTPException):
                continue
        return self.samples()

    def take(self, service: str, text: str) -> None:
        """The text of one service's page; one that counts less than before comes from a new process."""
        table: Table = {
            (sample.name, tuple(sorted(sample.labels.items()))): (sample.value, family.type in CUMULATIVE)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        last = self._last.get(service, {})
        if any(counts and table.get(key, (0.0, True))[0] < value for key, (value, counts) in last.items()):
            for key, (value, counts) in last.items():
                if counts:
                    self._before[key] = (self._before.get(key, (0.0, True))[0] + value, True)
        self._last[service] = table

    def samples(self) -> Samples:
        whole: Table = dict(self._before)
        for table in self._last.values():
            for key, (value, counts) in table.items():
                whole[key] = (value + self._before[key][0] if counts and key in self._before else value, counts)
        by_name: dict[str, list[tuple[Labels, float]]] = {}
        for (name, labels), (value, _) in whole.items():
            by_name.setdefault(name, []).append((dict(labels), value))
        return Samples({name: tuple(found) for name, found in by_name.items()})
