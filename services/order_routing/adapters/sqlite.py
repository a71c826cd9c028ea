"""The journal's own write path on SQLite: one kept connection, one transaction per entry, durable when it returns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from services.order_routing.adapters.statements import Statement, lost
from services.order_routing.ports import JournalProblem, Lease, LeaseLost

HOLDER = "SELECT holder, epoch FROM leases WHERE account = ?"


class SqliteWrites:
    """Runs statements under a lease. Writers of this process queue at `lock`, which costs microseconds; SQLite itself
    would let the second one sleep and try again."""

    def __init__(self, open_connection: Callable[[], Any], lock: threading.RLock) -> None:
        self._open_connection = open_connection
        self._lock = lock
        self._connection: Any = None  # the pool's, so that it is given back with the engine

    def run(self, lease: Lease, statements: Sequence[Statement]) -> None:
        """All or nothing. Raises LeaseLost, or JournalProblem when nothing was written."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open_connection()
                connection = self._connection.driver_connection
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self._write(connection, lease, statements)
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise JournalProblem(f"the journal refused a transaction: {error}") from error

    def _write(self, connection: Any, lease: Lease, statements: Sequence[Statement]) -> None:
        found = connection.execute(HOLDER, (lease.account,)).fetchone()
        if found != (lease.holder, lease.epoch):
            raise LeaseLost(lost(lease, found))
        for sql, rows in statements:
            if len(rows) == 1:
                connection.execute(sql, rows[0])
            else:
                connection.executemany(sql, rows)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
