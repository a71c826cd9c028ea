"""Runs a service as it is and writes down every single value that its histograms are given.

    python -m tests.benchmarks.exact_samples services.order_routing FILE [the service's own arguments]

A line of the file: metric, labels, monotonic ns of the observation, value. Written when the service ends.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Histogram


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation: what a histogram rounds to a bucket."""

    metric: str
    labels: tuple[str, ...]
    at_ns: int
    value: float


def samples_in(file: Path) -> Iterator[Sample]:
    with file.open() as lines:
        for line in lines:
            metric, labels, at_ns, value = json.loads(line)
            yield Sample(metric, tuple(labels), at_ns, value)


def run(module: str, file: Path, *arguments: str) -> None:
    """`arguments` are all that the module sees of the command line."""
    taken: list[tuple[str, tuple[str, ...], int, float]] = []
    observe = Histogram.observe

    def watched(self: Any, amount: float, *more: Any) -> None:
        taken.append((self._name, self._labelvalues, time.monotonic_ns(), amount))
        observe(self, amount, *more)

    setattr(Histogram, "observe", watched)  # noqa: B010 - every histogram, whoever made it
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        file.write_text("".join(f"{json.dumps(sample)}\n" for sample in taken))


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
