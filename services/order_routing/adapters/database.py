"""Opens the journal's database: durable SQLite settings or PostgreSQL, and a schema of the right version."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from services.order_routing.adapters.tables import SCHEMA_VERSION, metadata, schema
from services.order_routing.ports import JournalProblem


class JournalRefused(SystemExit):
    """A state folder that this router must not touch; ends the process with code 1 and the message."""


LOG_BYTES = 8 * 1024 * 1024
IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


def open_database(url: str) -> Engine:
    """An engine whose transactions are durable when they commit. Creates the schema in an empty database.

    Raises JournalRefused when another version wrote it or it is no journal, JournalProblem when it is damaged or cannot
    be opened.
    """
    try:
        engine = _sqlite(url) if url.startswith("sqlite") else create_engine(url, pool_pre_ping=True)
        _check_pages(engine, url)
        _check_schema(engine, url)
        if url.startswith("sqlite") and url not in IN_MEMORY:
            _lengthen_log(engine)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise JournalProblem(f"the journal {url} cannot be opened: {error}") from error
    return engine


def _sqlite(url: str) -> Engine:
    """WAL and synchronous=FULL: a commit returns after its fsync. Every transaction is BEGIN IMMEDIATE."""
    memory = url in IN_MEMORY
    engine = create_engine(
        url,
        poolclass=StaticPool if memory else QueuePool,
        connect_args={"check_same_thread": False, "timeout": 10.0},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "PRAGMA wal_autocheckpoint=0"
        )  # a checkpoint inside a commit would hold up an order: see tidy
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        if not connection.get_execution_options().get("read_only", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


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


def _check_pages(engine: Engine, url: str) -> None:
    """A damaged page is found now, not by the decision that needs it."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise JournalProblem(
                f"the journal {url} is damaged: {found}; restore it, do not trade on what is left of it"
            )


def _check_schema(engine: Engine, url: str) -> None:
    with engine.begin() as connection:
        names = set(inspect(connection).get_table_names())
        if schema.name in names:
            found = connection.execute(select(schema.c.version)).scalar_one_or_none()
            if found != SCHEMA_VERSION:
                raise JournalRefused(
                    f"order_routing: the journal {url} has schema version {found}, this router needs {SCHEMA_VERSION}: "
                    "move the state folder away, or run the version that wrote it"
                )
            return
        if names:
            raise JournalRefused(
                f"order_routing: the database {url} is no journal: it holds {', '.join(sorted(names))}"
            )
        metadata.create_all(connection)
        connection.execute(insert(schema).values(version=SCHEMA_VERSION))
