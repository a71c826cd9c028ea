"""The journal's tables as the newest migration leaves them, on SQLite and PostgreSQL; decimals are text, times ns."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# One row: the oldest revision whose routers may still use this journal. A migration that only adds leaves it as it is.
compatibility = Table("compatibility", metadata, Column("needs", String, primary_key=True))

decisions = Table(
    "decisions",
    metadata,
    Column("account", String, primary_key=True),
    Column("decision_key", String, primary_key=True),
    Column("prediction_id", String, nullable=False),
    Column("vector_id", String, nullable=False),
    Column("bundle_digest", String, nullable=False),
    Column("model_version", BigInteger, nullable=False),
    Column("instrument", String, nullable=False),
    Column("session", String, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("strategy", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("score", Float, nullable=False),
    Column("threshold", Float),
    Column("propensity", Float),
    Column("denied_code", String),
    Column("denied_reason", Text),
    Column("rules", Text, nullable=False),  # JSON: [[rule, passed, detail], ...]
    Column("decided_time", BigInteger, nullable=False),
    Column("prediction_partition", Integer, nullable=False),
    Column("prediction_offset", BigInteger, nullable=False),
    Column("features_offset", BigInteger, nullable=False),
    Column("provenance", String, nullable=False),
    Column("evidence", String, nullable=False),
    Index("decisions_by_prediction", "account", "prediction_id"),
    Index("decisions_by_time", "account", "strategy", "instrument", "decided_time"),
)

orders = Table(
    "orders",
    metadata,
    Column("account", String, primary_key=True),
    Column("client_order_id", String, primary_key=True),
    Column("instrument", String, nullable=False),
    Column("side", String, nullable=False),
    Column("price", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("time_in_force", String, nullable=False),
    Column("reduce_only", Boolean, nullable=False),
    Column("origin", String, nullable=False),
    Column("recorded_time", BigInteger, nullable=False),
    Column("updated_time", BigInteger, nullable=False),
    Column("strategy", String, nullable=False),
    Column("decision_key", String, nullable=False),
    Column("prediction_id", String, nullable=False),
    Column("bundle_digest", String, nullable=False),
    Column("provenance", String),
    Column("session", String, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("horizon", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("terminal", Boolean, nullable=False),
    Column("venue_order_id", String, nullable=False),
    Column("filled_quantity", Text, nullable=False),
    Column("filled_notional", Text, nullable=False),
    Column("fees_quote", Text, nullable=False),
    Column("venue_filled", Text, nullable=False),
    Column("closing", String),
    Column("reason", Text, nullable=False),
    Index("orders_alive", "account", "terminal"),
    Index("orders_by_time", "account", "recorded_time", "client_order_id"),
    Index("orders_by_decision", "account", "decision_key"),
)

executions = Table(
    "executions",
    metadata,
    Column("account", String, primary_key=True),
    Column("execution_id", String, primary_key=True),
    Column("number", BigInteger, nullable=False),  # the event's sequence: the order in which fills were applied
    Column("client_order_id", String, nullable=False),
    Column("venue_order_id", String, nullable=False),
    Column("instrument", String, nullable=False),
    Column("side", String, nullable=False),
    Column("price", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("fee_quote", Text, nullable=False),
    Column("maker", Boolean, nullable=False),
    Column("time", BigInteger, nullable=False),
    Index("executions_by_order", "account", "client_order_id"),
    Index("executions_in_order", "account", "number"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("account", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)

published = Table(
    "published",
    metadata,
    Column("account", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

input_offsets = Table(
    "input_offsets",
    metadata,
    Column("account", String, primary_key=True),
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

trading_states = Table(
    "trading_states",
    metadata,
    Column("account", String, primary_key=True),
    Column("number", BigInteger, primary_key=True),  # the event's sequence; the greatest one is in force
    Column("before", String, nullable=False),
    Column("after", String, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
)

balances = Table(
    "balances",
    metadata,
    Column("account", String, primary_key=True),
    Column("opening", Text, nullable=False),
    Column("peak", Text, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("day_equity", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("account", String, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)


def columns_of(table: str) -> tuple[str, ...]:
    return tuple(metadata.tables[table].columns.keys())
