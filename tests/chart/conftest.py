"""Leaves the chart's tests out where helm is missing."""

from __future__ import annotations

import pytest

from tests.chart.tools import needed


@pytest.fixture(autouse=True)
def _helm() -> None:
    needed("helm")
