"""An entry as the statements that write it: plain SQL that SQLite and PostgreSQL read alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from libs.trading.decisions import AccountEvent
from libs.trading.orders import Fill
from libs.wire.orders import encode_event
from services.order_routing.adapters import rows
from services.order_routing.adapters.tables import columns_of
from services.order_routing.ports import Entry, Lease


class Statement(NamedTuple):
    """SQL with `:name` parameters, once for each row."""

    sql: str
    rows: Sequence[Mapping[str, Any]]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _insert(table: str) -> str:
    names = columns_of(table)
    return f"INSERT INTO {table} ({_list(names)}) VALUES ({', '.join(f':{name}' for name in names)})"


def _upsert(table: str, keys: Sequence[str]) -> str:
    """Insert the row of a key, or set its other columns."""
    others = [name for name in columns_of(table) if name not in keys]
    change = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return f"{_insert(table)} ON CONFLICT ({_list(keys)}) DO UPDATE SET {change}"


def _update(table: str, keys: Sequence[str], names: Sequence[str]) -> str:
    change = ", ".join(f'"{name}" = :{name}' for name in names)
    return f"UPDATE {table} SET {change} WHERE {' AND '.join(f'{key} = :{key}' for key in keys)}"


DECIDED, ORDERED, EXECUTED, TOLD, SET = map(_insert, ("decisions", "orders", "executions", "outbox", "trading_states"))
PROGRESSED = _update("orders", ("account", "client_order_id"), rows.PROGRESS)
READ = _upsert("input_offsets", ("account", "topic", "partition"))
BALANCED = _upsert("balances", ("account",))
PUBLISHED = _upsert("published", ("account",))
LEASED = _update("leases", ("account",), ("holder", "expires"))


def of_entry(account: str, entry: Entry) -> list[Statement]:
    """What one transaction writes, in an order that never depends on the content."""
    found: list[Statement] = []

    def add(sql: str, values: Sequence[Mapping[str, Any]]) -> None:
        if values:
            found.append(Statement(sql, values))

    add(DECIDED, [rows.decision_row(account, decision) for decision in entry.decisions])
    add(ORDERED, [rows.order_row(order) for order in entry.new_orders])
    for order in entry.changed_orders:
        keys = {"account": account, "client_order_id": order.client_order_id}
        found.append(Statement(PROGRESSED, [keys | rows.order_progress(order)]))
    if entry.fills:
        numbers = {event.fact.execution_id: event.sequence for event in entry.events if isinstance(event.fact, Fill)}
        add(EXECUTED, [rows.fill_row(account, numbers[fill.execution_id], fill) for fill in entry.fills])
    add(TOLD, [_told(account, event) for event in entry.events])
    add(READ, [rows.offset_row(account, consumed) for consumed in entry.consumed])
    if entry.trading_state is not None:
        number = next(event.sequence for event in entry.events if event.fact is entry.trading_state)
        add(SET, [rows.state_row(account, number, entry.trading_state, entry.time)])
    if entry.balances is not None:
        add(BALANCED, [rows.balances_row(account, entry.balances)])
    return found


def of_published(account: str, sequence: int) -> list[Statement]:
    return [Statement(PUBLISHED, [{"account": account, "sequence": sequence}])]


def of_lease(lease: Lease, holder: str, expires: int) -> list[Statement]:
    """The lease's row, which keeps its epoch; an empty holder gives it back."""
    return [Statement(LEASED, [{"account": lease.account, "holder": holder, "expires": expires}])]


def _told(account: str, event: AccountEvent) -> dict[str, Any]:
    return {"account": account, "sequence": event.sequence, "payload": encode_event(event)}


def lost(lease: Lease, found: tuple[str, int] | None) -> str:
    """Who has the account instead, in words."""
    who = "nobody" if found is None else f"{found[0] or 'nobody'} (epoch {found[1]})"
    return f"account {lease.account} is held by {who}, not by {lease.holder} (epoch {lease.epoch})"
