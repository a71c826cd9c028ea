"""An entry on PostgreSQL is waited for once, however many rows it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.trading.decisions import AccountEvent
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.schema import migrate, open_database
from services.order_routing.domain import InputAt
from services.order_routing.ports import Entry, LeaseLost
from tests.builders.orders import START, an_order
from tests.builders.postgres import Databases


def test_a_commit_asks_for_one_answer(postgres: Databases, tmp_path: Path) -> None:
    engine = open_database(postgres.make())
    migrate(engine)
    journal = SqlJournal(engine)
    lease = journal.acquire("paper", "a", START, 10**9)
    assert lease is not None
    lease = journal.renew(lease, START, 10**9)  # opens the connection that writes
    orders = tuple(an_order(client_order_id=f"o{n}") for n in range(3))
    events = tuple(AccountEvent(n, "paper", START, order) for n, order in enumerate(orders, start=1))
    writes: Any = journal._writes
    connection = writes._connection.driver_connection
    with (tmp_path / "trace").open("wb") as trace:
        connection.pgconn.trace(trace.fileno())
        journal.commit(Entry(time=START, new_orders=orders, events=events, consumed=(InputAt("p", 0, 1),)), lease)
        connection.pgconn.untrace()
    sent = [line.split("\t")[1:4:2] for line in (tmp_path / "trace").read_text().splitlines()]
    assert sent.count(["F", "Sync"]) == 1, sent
    assert sent.count(["F", "Execute"]) == 1 + 1 + 3 + 3 + 1 + 1, "begin, fence, orders, events, offset, commit"
    assert journal.acquire("paper", "b", START + 2 * 10**9, 10**9) is not None
    with pytest.raises(LeaseLost, match="held by b"):
        journal.commit(Entry(time=START), lease)
    journal.close()
