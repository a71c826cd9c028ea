"""The journal's file: durable commits, and addresses that mean nothing are refused without showing a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.order_routing.adapters.database import JournalRefused, open_engine
from services.order_routing.adapters.schema import open_database


def test_commits_are_synchronous_and_begin_at_once(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(
    "url", ["", "journal.sqlite", "mysql://u:hidden@h/d", "postgresql+asyncpg://u:hidden@h/d", "http://u:hidden@h"]
)
def test_an_address_that_means_nothing_is_refused_with_what_is_wanted(url: str) -> None:
    with pytest.raises(JournalRefused, match=r"ORDER_ROUTING_JOURNAL_URL.*postgresql\+psycopg://") as refused:
        open_engine(url)
    assert "hidden" not in str(refused.value)
