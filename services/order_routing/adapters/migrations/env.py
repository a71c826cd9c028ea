"""Runs migrations on the connection that `schema` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from services.order_routing.adapters.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
