"""Revision 0001: the journal as the code before migrations made it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, String, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("schema_version", Column("version", Integer, primary_key=True))
    decisions()
    orders()
    executions()
    outbox_and_offsets()
    account()


def key(name: str, kind: String | Integer | BigInteger) -> Column[object]:
    return Column(name, kind, primary_key=True, nullable=False)


def must(name: str, kind: String | Integer | BigInteger | Float[float] | Boolean | LargeBinary) -> Column[object]:
    return Column(name, kind, nullable=False)


def decisions() -> None:
    op.create_table(
        "decisions",
        key("account", String(64)),
        key("decision_key", String(36)),
        must("prediction_id", String(64)),
        must("vector_id", String(64)),
        must("bundle_digest", String(80)),
        must("model_version", BigInteger()),
        must("instrument", String(64)),
        must("session", String(128)),
        must("as_of", BigInteger()),
        must("strategy", String(32)),
        must("kind", String(16)),
        must("origin", String(16)),
        must("score", Float()),
        Column("threshold", Float),
        Column("propensity", Float),
        Column("denied_code", String(64)),
        Column("denied_reason", Text),
        must("rules", Text()),
        must("decided_time", BigInteger()),
        must("prediction_partition", Integer()),
        must("prediction_offset", BigInteger()),
        must("features_offset", BigInteger()),
        must("provenance", String(16)),
        must("evidence", String(16)),
    )
    op.create_index("decisions_by_prediction", "decisions", ["account", "prediction_id"])
    op.create_index("decisions_by_time", "decisions", ["account", "strategy", "instrument", "decided_time"])


def orders() -> None:
    op.create_table(
        "orders",
        key("account", String(64)),
        key("client_order_id", String(36)),
        must("instrument", String(64)),
        must("side", String(8)),
        must("price", Text()),
        must("quantity", Text()),
        must("time_in_force", String(16)),
        must("reduce_only", Boolean()),
        must("origin", String(16)),
        must("recorded_time", BigInteger()),
        must("updated_time", BigInteger()),
        must("strategy", String(32)),
        must("decision_key", String(36)),
        must("prediction_id", String(64)),
        must("bundle_digest", String(80)),
        Column("provenance", String(16)),
        must("session", String(128)),
        must("as_of", BigInteger()),
        must("horizon", BigInteger()),
        must("state", String(20)),
        must("terminal", Boolean()),
        must("venue_order_id", String(64)),
        must("filled_quantity", Text()),
        must("filled_notional", Text()),
        must("fees_quote", Text()),
        must("venue_filled", Text()),
        Column("closing", String(20)),
        must("reason", Text()),
    )
    op.create_index("orders_alive", "orders", ["account", "terminal"])
    op.create_index("orders_by_time", "orders", ["account", "recorded_time", "client_order_id"])
    op.create_index("orders_by_decision", "orders", ["account", "decision_key"])


def executions() -> None:
    op.create_table(
        "executions",
        key("account", String(64)),
        key("execution_id", String(64)),
        must("number", BigInteger()),
        must("client_order_id", String(36)),
        must("venue_order_id", String(64)),
        must("instrument", String(64)),
        must("side", String(8)),
        must("price", Text()),
        must("quantity", Text()),
        must("fee_quote", Text()),
        must("maker", Boolean()),
        must("time", BigInteger()),
    )
    op.create_index("executions_by_order", "executions", ["account", "client_order_id"])
    op.create_index("executions_in_order", "executions", ["account", "number"])


def outbox_and_offsets() -> None:
    op.create_table("outbox", key("account", String(64)), key("sequence", BigInteger()), must("payload", LargeBinary()))
    op.create_table("published", key("account", String(64)), must("sequence", BigInteger()))
    op.create_table(
        "input_offsets",
        key("account", String(64)),
        key("topic", String(128)),
        key("partition", Integer()),
        must("next_offset", BigInteger()),
    )


def account() -> None:
    op.create_table(
        "trading_states",
        key("account", String(64)),
        key("number", BigInteger()),
        must("before", String(16)),
        must("after", String(16)),
        must("by", Text()),
        must("reason", Text()),
        must("time", BigInteger()),
    )
    op.create_table(
        "balances",
        key("account", String(64)),
        must("opening", Text()),
        must("peak", Text()),
        must("day", BigInteger()),
        must("day_equity", Text()),
    )
    op.create_table(
        "leases",
        key("account", String(64)),
        must("holder", Text()),
        must("epoch", BigInteger()),
        must("expires", BigInteger()),
    )
