"""What the journal's rows add up to: live orders, positions, offsets and the rest that a router starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from libs.trading.orders import Order
from libs.trading.portfolio import Position
from libs.trading.risk import TradingState
from services.order_routing.adapters import rows
from services.order_routing.adapters.tables import (
    balances,
    decisions,
    executions,
    input_offsets,
    orders,
    outbox,
    published,
    trading_states,
)
from services.order_routing.domain import EXPLORE, Held, Opening, held_after
from services.order_routing.ports import Balances

MANY = 500  # names in one question


def sequence(connection: Connection, account: str) -> int:
    """The newest event's number; it stays known when events that are on the topic are removed."""
    newest = connection.execute(select(func.max(outbox.c.sequence)).where(outbox.c.account == account)).scalar() or 0
    told = connection.execute(select(published.c.sequence).where(published.c.account == account)).scalar() or 0
    return max(newest, told)


def live_orders(connection: Connection, account: str) -> tuple[Order, ...]:
    query = select(orders).where(orders.c.account == account, orders.c.terminal.is_(False))
    return orders_of(connection, account, query)


def orders_of(connection: Connection, account: str, query: Any) -> tuple[Order, ...]:
    """The orders of a query, each with the ids of its executions."""
    found = connection.execute(query).mappings().all()
    ids = execution_ids(connection, account, [row["client_order_id"] for row in found])
    return tuple(rows.order_of(row, ids.get(row["client_order_id"], frozenset())) for row in found)


def offsets(connection: Connection, account: str) -> dict[tuple[str, int], int]:
    found = connection.execute(select(input_offsets).where(input_offsets.c.account == account)).mappings()
    return {(row["topic"], row["partition"]): row["next_offset"] for row in found}


def trading_state(connection: Connection, account: str) -> tuple[TradingState, str, str]:
    query = select(trading_states).where(trading_states.c.account == account)
    row = connection.execute(query.order_by(trading_states.c.number.desc()).limit(1)).mappings().one_or_none()
    return (TradingState.ACTIVE, "", "") if row is None else (TradingState[row["after"]], row["by"], row["reason"])


def balances_of_account(connection: Connection, account: str) -> Balances | None:
    row = connection.execute(select(balances).where(balances.c.account == account)).mappings().one_or_none()
    return None if row is None else rows.balances_of(row)


def execution_ids(connection: Connection, account: str, of: Sequence[str] | None = None) -> dict[str, frozenset[str]]:
    """By client order id; of these orders, or of all."""
    query = select(executions.c.client_order_id, executions.c.execution_id).where(executions.c.account == account)
    ids: dict[str, set[str]] = {}
    for part in [None] if of is None else [of[at : at + MANY] for at in range(0, len(of), MANY)]:
        asked = query if part is None else query.where(executions.c.client_order_id.in_(part))
        for client_order_id, execution_id in connection.execute(asked):
            ids.setdefault(client_order_id, set()).add(execution_id)
    return {key: frozenset(value) for key, value in ids.items()}


def held(connection: Connection, account: str, known: tuple[Held, ...] = (), after: int = 0) -> tuple[Held, ...]:
    """Positions are what the fills say, in the order in which they were applied; here those after a sequence."""
    opener = (orders.c.strategy, orders.c.session, orders.c.as_of, orders.c.horizon)
    same = (orders.c.account == executions.c.account) & (orders.c.client_order_id == executions.c.client_order_id)
    query = select(executions, *opener).select_from(executions.outerjoin(orders, same))
    held = {one.position.instrument: one for one in known}
    query = query.where(executions.c.account == account, executions.c.number > after).order_by(executions.c.number)
    for row in connection.execute(query).mappings():
        fill = rows.fill_of(row)
        ours = row["strategy"] is not None
        opening = Opening(row["strategy"], row["session"], row["as_of"], row["horizon"]) if ours else None
        before = held.get(fill.instrument, Held(Position(fill.instrument)))
        held[fill.instrument] = held_after(before, fill, opening)
    return tuple(held.values())


def latest_as_of(connection: Connection, account: str) -> dict[tuple[str, str, str], int]:
    keys = (decisions.c.strategy, decisions.c.session, decisions.c.instrument)
    query = select(*keys, func.max(decisions.c.as_of)).where(decisions.c.account == account).group_by(*keys)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def explore_scores(connection: Connection, account: str, window: int) -> dict[str, tuple[float, ...]]:
    where = (decisions.c.account == account, decisions.c.strategy == EXPLORE)
    instruments = connection.execute(select(decisions.c.instrument).where(*where).distinct()).scalars().all()
    found = {}
    for instrument in instruments:
        query = select(decisions.c.score).where(*where, decisions.c.instrument == instrument)
        newest = connection.execute(query.order_by(decisions.c.decided_time.desc()).limit(window)).scalars().all()
        found[instrument] = tuple(abs(score) for score in reversed(newest))
    return found
