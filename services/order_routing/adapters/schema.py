"""Which revision the journal's tables have: brings them to this image's, and refuses what this image must not use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from services.order_routing.adapters.database import (
    SETTING,
    JournalRefused,
    name_of,
    open_engine,
    prepare_file,
    problem_of,
)
from services.order_routing.adapters.postgres import wrong_in
from services.order_routing.adapters.tables import compatibility

MIGRATIONS = Path(__file__).with_name("migrations")
FIRST = "0001"  # also what the code before migrations made
LOCK = 7_239_017_305_221  # PostgreSQL's advisory lock of whoever migrates; a number that no other program takes
LOCK_MS, MIGRATION_MS = 30_000, 600_000
MIGRATE = "python -m services.order_routing migrate"
VERSIONS = "alembic_version"
MOVE = f"move it away or name another database in {SETTING}"
T = TypeVar("T")


def newest() -> str:
    """The revision that this image's code is written for."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None, "there is always a first migration"
    return head


def known() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def open_database(url: str) -> Engine:
    """An engine on the journal. A SQLite file is brought up to date by whoever opens it; on a server that is a step of
    its own (`migrate`), and nothing is asked of the server yet.

    Raises JournalRefused, and JournalProblem for a file that is damaged or cannot be opened.
    """
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        prepare_file(engine)
        migrate(engine)
    return engine


def check(engine: Engine) -> None:
    """Raises JournalAway while the database does not answer, JournalRefused when this image must not use it."""
    problem = _ask(engine, unusable)
    if problem is not None:
        raise JournalRefused(f"order_routing: {problem}")


def unusable(connection: Connection) -> str | None:
    """Why this image cannot use the journal as it is, with the remedy; None when it can."""
    name, found = name_of(connection.engine), _revision(connection)
    if found is None:
        words, ours = _without_revision(connection)
        return f"the journal {name} {words}" + (f": run `{MIGRATE}`" if ours else "")
    if found == newest():
        return None
    if found in known():
        return f"the journal {name} has revision {found}, this router needs {newest()}: run `{MIGRATE}`"
    needs = connection.execute(select(compatibility.c.needs)).scalar_one_or_none()
    if needs in known():
        return None  # what came after only added to what this image uses
    return (
        f"this image is older than the journal {name}: it knows revisions up to {newest()}, the journal has {found} "
        f"and needs a router that knows {needs}; roll forward to the image that migrated it"
    )


def migrate(engine: Engine) -> str:
    """Bring the tables to this image's revision in one transaction; what was done, in words. Safe to repeat, and when
    two run at once: the second waits and finds nothing to do.

    Raises JournalAway while the database does not answer, JournalRefused when this image must not touch it.
    """
    return _ask(engine, _migrate)


def _migrate(connection: Connection) -> str:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_MS}"))
        connection.execute(text(f"SET LOCAL statement_timeout = {MIGRATION_MS}"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})
    found = _revision(connection)
    if found == newest():
        return f"nothing to do: the journal has revision {found}"
    if found is not None and found not in known():
        problem = unusable(connection)
        if problem is not None:
            raise JournalRefused(f"order_routing: {problem}")
        return f"nothing to do: the journal has revision {found}, later than this image's {newest()}, and serves it too"
    former = found is None and _take_over(connection)
    upgrade(connection, "head")
    before = f"revision {found}" if found else "the tables of the code before migrations" if former else "nothing"
    return f"migrated: the journal has revision {newest()} now, before it had {before}"


def _take_over(connection: Connection) -> bool:
    """Give the tables of the code before migrations their revision; False for an empty database. Refuses others."""
    if not _tables(connection):
        return False
    words, ours = _without_revision(connection)
    if ours and shape(connection) != _first_shape():
        words, ours = f"{words}, but has not the tables that it made: {MOVE}", False
    if not ours:
        raise JournalRefused(f"order_routing: the journal {name_of(connection.engine)} {words}")
    command.stamp(_config(connection), FIRST)
    return True


def _without_revision(connection: Connection) -> tuple[str, bool]:
    """What a database without a revision is, in words, and whether migrating may make our journal of it."""
    names = _tables(connection)
    if not names:
        return "is empty", True
    if "schema_version" not in names:
        return f"is no journal, it holds {', '.join(names)}: {MOVE}", False
    version = connection.execute(text("SELECT version FROM schema_version")).scalar_one_or_none()
    if version != 1:
        return f"has schema version {version}, this router knows 1: {MOVE}, or run the version that wrote it", False
    return "was written by the code before migrations", True


def _tables(connection: Connection) -> list[str]:
    return sorted(set(inspect(connection).get_table_names()) - {VERSIONS})


def shape(connection: Connection) -> dict[str, dict[str, tuple[bool, bool]]]:
    """The columns of each table: whether each may be NULL, and belongs to the key."""
    look = inspect(connection)
    found = {}
    for table in _tables(connection):
        keys = look.get_pk_constraint(table)["constrained_columns"]
        found[table] = {one["name"]: (one["nullable"], one["name"] in keys) for one in look.get_columns(table)}
    return found


def _first_shape() -> dict[str, dict[str, tuple[bool, bool]]]:
    blank = create_engine("sqlite://")
    try:
        with blank.begin() as connection:
            upgrade(connection, FIRST)
            return shape(connection)
    finally:
        blank.dispose()


def upgrade(connection: Connection, revision: str) -> None:
    command.upgrade(_config(connection), revision)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _ask(engine: Engine, ask: Callable[[Connection], T]) -> T:
    """In one transaction; what a person has to set right at the server ends the process in one line."""
    try:
        with engine.begin() as connection:
            return ask(connection)
    except SQLAlchemyError as error:
        wrong = wrong_in(error.orig) if isinstance(error, DBAPIError) else None
        if wrong is not None:
            raise JournalRefused(f"order_routing: the journal {name_of(engine)}: {wrong}; see {SETTING}") from error
        raise problem_of(error, f"the journal {name_of(engine)} cannot be opened") from error
