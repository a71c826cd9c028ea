"""The journal's revisions on every database: made from nothing, repeated, raced, taken over, refused in one line."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from services.order_routing.adapters import schema
from services.order_routing.adapters.database import JournalRefused, open_engine
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.tables import metadata
from services.order_routing.ports import Entry
from tests.builders.orders import START, an_order


@pytest.fixture
def engine(address: str) -> Iterator[Engine]:
    engine = open_engine(address)
    yield engine
    engine.dispose()


def say(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def former_journal(engine: Engine) -> None:
    """As the code before migrations left it: its tables, its number, and an order."""
    with engine.begin() as connection:
        schema.upgrade(connection, schema.FIRST)
    say(engine, "DROP TABLE alembic_version", "INSERT INTO schema_version VALUES (1)")


def test_migrations_make_the_tables_that_the_code_knows(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.connect() as connection:
        # SQLite keeps no lengths and cannot change a type in place: there it makes no difference what a column says
        options = {"compare_type": engine.dialect.name == "postgresql"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_migrating_is_repeatable_and_loses_nothing(engine: Engine) -> None:
    assert schema.migrate(engine) == f"migrated: the journal has revision {schema.newest()} now, before it had nothing"
    journal = SqlJournal(engine)
    lease = journal.acquire("paper", "a", START, 1)
    assert lease is not None
    journal.commit(Entry(time=START, new_orders=(an_order(),)), lease)
    assert schema.migrate(engine) == f"nothing to do: the journal has revision {schema.newest()}"
    schema.check(engine)
    assert journal.order("paper", "test-1") == an_order()
    journal.close()


def test_many_that_migrate_at_once_do_it_once(engine: Engine) -> None:
    url, start = engine.url.render_as_string(hide_password=False), threading.Barrier(4)

    def migrate(_: int) -> str:
        other = open_engine(url)
        start.wait()
        try:
            return schema.migrate(other)
        finally:
            other.dispose()

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(migrate, range(4)))
    assert [one.split(":")[0] for one in said] == ["migrated", "nothing to do", "nothing to do", "nothing to do"]


def test_a_journal_of_the_code_before_migrations_is_taken_over(engine: Engine) -> None:
    former_journal(engine)
    say(engine, "INSERT INTO outbox VALUES ('paper', 7, '')")
    with pytest.raises(JournalRefused, match="written by the code before migrations: run `python -m"):
        schema.check(engine)
    assert schema.migrate(engine).endswith("before it had the tables of the code before migrations")
    schema.check(engine)
    journal = SqlJournal(engine)
    assert journal.load("paper", START, 1).sequence == 7
    journal.close()


def test_tables_that_only_look_like_a_former_journal_are_left_alone(engine: Engine) -> None:
    former_journal(engine)
    say(engine, "ALTER TABLE orders RENAME COLUMN price TO prices")
    said = "written by the code before migrations, but has not the tables that it made: move it away"
    with pytest.raises(JournalRefused, match=said):
        schema.migrate(engine)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() is None


def test_a_former_journal_of_another_number_is_refused(engine: Engine) -> None:
    former_journal(engine)
    say(engine, "UPDATE schema_version SET version = 99")
    for touch in (schema.migrate, schema.check):
        with pytest.raises(JournalRefused, match="schema version 99, this router knows 1: move it away"):
            touch(engine)


def test_a_database_of_something_else_is_refused(engine: Engine) -> None:
    say(engine, "CREATE TABLE recipes (name TEXT)")
    for touch in (schema.migrate, schema.check):
        with pytest.raises(JournalRefused, match="is no journal, it holds recipes: move it away or name another"):
            touch(engine)


def test_an_empty_and_an_older_journal_name_the_command(engine: Engine) -> None:
    with pytest.raises(JournalRefused, match=f"is empty: run `{schema.MIGRATE}`"):
        schema.check(engine)
    with engine.begin() as connection:
        schema.upgrade(connection, schema.FIRST)
    with pytest.raises(JournalRefused, match=f"has revision 0001, this router needs {schema.newest()}: run `python"):
        schema.check(engine)


def test_a_newer_journal_serves_an_older_image_as_long_as_it_says_so(engine: Engine) -> None:
    schema.migrate(engine)
    say(engine, "UPDATE alembic_version SET version_num = '0107'")
    schema.check(engine)
    assert "later than this image's" in schema.migrate(engine)
    say(engine, "UPDATE compatibility SET needs = '0105'")
    for touch in (schema.migrate, schema.check):
        with pytest.raises(JournalRefused, match=r"older than the journal.* has 0107 .*knows 0105; roll forward"):
            touch(engine)


def test_revisions_are_one_line_of_descent_from_the_first() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert scripts.get_heads() == [schema.newest()]
    assert scripts.get_base() == schema.FIRST


def test_a_migration_that_fails_leaves_everything_as_it_was(engine: Engine) -> None:
    former_journal(engine)
    say(engine, "CREATE TABLE compatibility (needs TEXT)")
    before = tables_of(engine)
    with pytest.raises(JournalRefused):
        schema.migrate(engine)
    assert tables_of(engine) == before


def tables_of(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_a_state_folder_of_the_former_code_is_simply_used(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    engine = open_engine(f"sqlite:///{file}")
    former_journal(engine)
    engine.dispose()
    schema.open_database(f"sqlite:///{file}").dispose()
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.newest(),)]
