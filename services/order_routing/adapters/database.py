"""Opens the journal's database, SQLite with durable settings or PostgreSQL, and says what is wrong with its address."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoneIsFree
from sqlalchemy.pool import QueuePool, StaticPool

from services.order_routing.adapters import postgres
from services.order_routing.ports import JournalAway, JournalProblem

SETTING = "ORDER_ROUTING_JOURNAL_URL"
LOG_BYTES = 8 * 1024 * 1024
IN_MEMORY = ("sqlite://", "sqlite:///:memory:")
STATEMENT_MS = 5_000
CONNECTIONS = 8  # one writes, the others read for rpcs and tasks
POOL_WAIT_S = 5.0
FILE_WAIT_S = 10.0  # for another process that writes


class JournalRefused(SystemExit):
    """A journal that this router must not touch; ends the process with code 1 and the message."""


def open_engine(url: str, statement_ms: int = STATEMENT_MS) -> Engine:
    """An engine whose transactions are durable when they commit. Opens no connection.

    Raises JournalRefused for an address that means nothing here; what it says never shows a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise JournalRefused(f"order_routing: {SETTING} is no database address: {_WANTED}") from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url)
    if parsed.drivername not in ("postgresql", "postgresql+psycopg", "postgres"):
        raise JournalRefused(f"order_routing: {SETTING} names {parsed.drivername}: {_WANTED}")
    return _postgres(parsed.set(drivername="postgresql+psycopg"), statement_ms)


_WANTED = "wanted is postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///FILE"


def name_of(engine: Engine) -> str:
    """The address without its password."""
    return engine.url.render_as_string(hide_password=True)


def problem_of(error: Exception, what: str) -> JournalProblem:
    """What an error of either database means to the router."""
    if isinstance(error, NoneIsFree):
        return JournalAway(f"{what}: all connections are waiting for answers")
    inside = error.orig if isinstance(error, DBAPIError) else error
    return postgres.problem_of(inside or error, what)


def connect(engine: Engine) -> Any:
    """A connection of the pool without transactions of its own. Raises JournalProblem, JournalAway."""
    try:
        return engine.raw_connection()
    except Exception as error:  # the driver's own come as they are
        raise problem_of(error, "no connection to the journal") from error


def _postgres(url: URL, statement_ms: int) -> Engine:
    return create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_use_lifo=True,
        pool_pre_ping=True,  # readers only: the connection that writes is kept
        connect_args=postgres.connect_arguments(statement_ms),
    )


def _sqlite(url: str) -> Engine:
    """WAL and synchronous=FULL: a commit returns after its fsync. Every transaction is BEGIN IMMEDIATE."""
    memory = url in IN_MEMORY
    engine = create_engine(
        url,
        poolclass=StaticPool if memory else QueuePool,
        connect_args={"check_same_thread": False, "timeout": FILE_WAIT_S},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
        # a checkpoint inside a commit would hold up an order: see tidy
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        if not connection.get_execution_options().get("read_only", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Of several that open a new file at once SQLite refuses all but one, without waiting for its timeout."""
    limit = time.monotonic() + FILE_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > limit:
                raise
            time.sleep(0.01)


def prepare_file(engine: Engine) -> None:
    """What a SQLite file needs before it is written: whole pages, and a log that commits overwrite.

    Raises JournalProblem when it is damaged or cannot be opened.
    """
    try:
        _check_pages(engine)
        if str(engine.url) not in IN_MEMORY:
            _lengthen_log(engine)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise JournalProblem(f"the journal {name_of(engine)} cannot be opened: {error}") from error


def _lengthen_log(engine: Engine) -> None:
    """Grow the write-ahead log once, so that commits overwrite it instead of lengthening it.

    A commit that lengthens a file waits for the file system's own journal too: 2 ms instead of 0.1 (measured, ext4).
    The log keeps its length as long as `tidy` comes round before it is full. A long one, as a leader's, is left alone.
    """
    log = Path(f"{engine.url.database}-wal")
    if log.exists() and log.stat().st_size >= LOG_BYTES:
        return
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute("CREATE TABLE filler (filler BLOB)")
        cursor.execute("INSERT INTO filler VALUES (zeroblob(?))", (LOG_BYTES,))
        cursor.execute("DROP TABLE filler")
        cursor.execute("COMMIT")
        cursor.execute("PRAGMA wal_checkpoint(RESTART)").close()
    finally:
        connection.close()


def _check_pages(engine: Engine) -> None:
    """A damaged page is found now, not by the decision that needs it."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise JournalProblem(
            f"the journal {name_of(engine)} is damaged: {found}; restore it, do not trade on what is left of it"
        )
