"""Each database that a journal may lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.postgres import Databases


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database of this test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.sqlite'}"
    server: Databases = request.getfixturevalue("postgres")
    return server.make()
