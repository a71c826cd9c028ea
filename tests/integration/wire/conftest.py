"""The two places where an archive may lie: a suite that asks for `spot` runs on both."""

from __future__ import annotations

from tests.integration.archive.conftest import object_store, own_store, spot

__all__ = ["object_store", "own_store", "spot"]
