"""What quick tests of several rooms share: a trace collector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.collector import Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.start()
    yield collector
    collector.stop()
