"""The journal's file: durable commits, and addresses that mean nothing are refused without showing a password."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from services.order_routing.adapters.database import JournalRefused, connect, open_engine
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.postgres import PostgresWrites
from services.order_routing.adapters.schema import open_database
from services.order_routing.ports import Entry, JournalAway, Lease


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


def test_a_pool_whose_connections_all_wait_for_answers_is_a_journal_that_is_away(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'journal'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    journal, lease, entry = SqlJournal(engine), Lease("paper", "a", 1, 1), Entry(time=0)
    with engine.connect():
        with pytest.raises(JournalAway, match="cannot be read: all connections are waiting"):
            journal.published("paper")
        with pytest.raises(JournalAway, match="all connections are waiting"):
            journal.commit(entry, lease)
        with pytest.raises(JournalAway, match="all connections are waiting"):
            PostgresWrites(partial(connect, engine), threading.RLock()).run(lease, [])


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def look(engine_number: int) -> str:
        engine = open_engine(f"sqlite:///{tmp_path / str(engine_number // 4)}")
        start.wait()
        try:
            with engine.connect() as connection:
                return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(look, range(200))) == {"wal"}
