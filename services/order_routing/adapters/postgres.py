"""The journal's own write path on PostgreSQL: one kept connection, an entry in one round trip, and what errors mean."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import psycopg
from psycopg import errors

from services.order_routing.adapters.statements import Statement, lost
from services.order_routing.ports import JournalAway, JournalProblem, Lease, LeaseLost

TRIES = 3
# Locks the lease's row until the commit, so that writers and takers of one account come one after the other; fails by
# itself when the row is not this lease's, and with it everything behind it in the same round trip.
FENCE = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM leases WHERE account = %(account)s AND holder = %(holder)s"
    " AND epoch = %(epoch)s FOR UPDATE) AS mine"
)
HOLDER = "SELECT holder, epoch FROM leases WHERE account = %(account)s"
AGAIN = ("40001", "40P01")  # the server undid it for another transaction's sake: the same may be tried again
# Errors that go by themselves: connection, rollback, resources, operator, system, locks, read-only.
PASSING = ("08", "40", "53", "57", "58", "55", "25006")
WRONG = {
    r"password authentication failed|no password supplied": "the password is wrong",
    r'role "[^"]*" does not exist': "the user does not exist",
    r'database "[^"]*" does not exist': "the database does not exist",
    r"no pg_hba\.conf entry": "the server does not let this client in",
    r"permission denied": "the user lacks rights",
}


def connect_arguments(statement_ms: int) -> dict[str, Any]:
    """A session whose statements and locks end in time, and whose dead connection is noticed.

    A server that vanished without a word is noticed by TCP after about `statement_ms`.
    """
    limits = {
        "statement_timeout": statement_ms,
        "lock_timeout": statement_ms // 2,
        "idle_in_transaction_session_timeout": 2 * statement_ms,
        "timezone": "UTC",
    }
    return {
        "connect_timeout": max(2, statement_ms // 1_000),
        "application_name": "order_routing",
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        "tcp_user_timeout": statement_ms,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }


class PostgresWrites:
    """Runs statements under a lease, one transaction at a time on a connection of its own."""

    def __init__(self, open_connection: Callable[[], Any], lock: threading.RLock) -> None:
        self._open_connection = open_connection
        self._lock = lock
        self._connection: Any = None  # the pool's

    def run(self, lease: Lease, statements: Sequence[Statement]) -> None:
        """All or nothing. Raises LeaseLost; JournalAway when it is not known whether it was written; JournalProblem
        when nothing was."""
        with self._lock:
            for last in (False,) * (TRIES - 1) + (True,):
                try:
                    self._write(lease, statements)
                    return
                except errors.DivisionByZero:
                    raise LeaseLost(self._who(lease)) from None
                except psycopg.Error as error:
                    if last or error.sqlstate not in AGAIN:
                        self.close()
                        raise problem_of(error, "the journal refused a transaction") from error

    def _write(self, lease: Lease, statements: Sequence[Statement]) -> None:
        """Everything from BEGIN to COMMIT leaves in one flush, and is waited for once."""
        connection = self._open()
        mine = {"account": lease.account, "holder": lease.holder, "epoch": lease.epoch}
        try:
            with connection.pipeline():
                cursor = connection.cursor()
                cursor.execute("BEGIN", prepare=True)
                cursor.execute(FENCE, mine, prepare=True)
                for sql, rows in statements:
                    for row in rows:
                        cursor.execute(as_psycopg(sql), row, prepare=True)
                cursor.execute("COMMIT", prepare=True)
        except psycopg.Error:
            with suppress(psycopg.Error):
                connection.rollback()
            raise

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = self._open_connection()
            # The driver would send BEGIN and COMMIT in round trips of their own; here they travel with the rest.
            self._connection.driver_connection.autocommit = True
        return self._connection.driver_connection

    def _who(self, lease: Lease) -> str:
        connection = self._open()
        with suppress(psycopg.Error):
            found = connection.execute(HOLDER, {"account": lease.account}).fetchone()
            connection.rollback()
            return lost(lease, found)
        return f"account {lease.account} is no longer held by {lease.holder} (epoch {lease.epoch})"

    def close(self) -> None:
        """Forget the connection; the next entry opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):
                    connection.invalidate()


@cache
def as_psycopg(sql: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", sql)


def is_passing(error: BaseException | None) -> bool:
    """Whether waiting may help: no answer, a lost connection, a server that starts, stops, is full or is read-only."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(PASSING)


def wrong_in(error: BaseException | None) -> str | None:
    """What a person has to set right before this server lets us in; None: nothing that waiting would not mend."""
    said = str(error)
    return next((words for pattern, words in WRONG.items() if re.search(pattern, said)), None)


def problem_of(error: BaseException, what: str) -> JournalProblem:
    kind = JournalAway if is_passing(error) else JournalProblem
    return kind(f"{what}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The first two lines of an error's own words, as one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) or type(error).__name__
