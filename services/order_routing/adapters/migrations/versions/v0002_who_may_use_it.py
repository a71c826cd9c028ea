"""Revision 0002: the oldest image that may use the journal is written in it, and names may be of any length."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, inspect

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    unlimited()
    compatibility = op.create_table("compatibility", Column("needs", String, primary_key=True, nullable=False))
    op.bulk_insert(compatibility, [{"needs": revision}])
    op.drop_table("schema_version")


def unlimited() -> None:
    """What comes from outside is checked where it comes in; a limit here would only stop the router, and only on
    PostgreSQL: SQLite knows none."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    look = inspect(connection)
    for table in look.get_table_names():
        for column in look.get_columns(table):
            if isinstance(column["type"], String) and column["type"].length is not None and table != "alembic_version":
                op.alter_column(table, column["name"], type_=String())
