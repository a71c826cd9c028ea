"""Revision 0002: the oldest image that may use the journal is written in it; migrations count instead of a number."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String, insert

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    compatibility = op.create_table("compatibility", Column("needs", String(32), primary_key=True, nullable=False))
    op.execute(insert(compatibility).values(needs=revision))
    op.drop_table("schema_version")
