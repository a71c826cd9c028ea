"""The order journal in SQL: one transaction per entry, every one of them fenced by the lease."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, func, insert, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from libs.trading.decisions import AccountEvent, Decision
from libs.trading.orders import Fill, Order, OrderState
from libs.trading.portfolio import Position
from libs.trading.risk import TradingState
from libs.wire.orders import encode_event
from services.order_routing.adapters import rows
from services.order_routing.adapters.tables import (
    balances,
    decisions,
    executions,
    input_offsets,
    leases,
    orders,
    outbox,
    published,
    trading_states,
)
from services.order_routing.domain import EXPLORE, Held, InputAt, Opening, held_after
from services.order_routing.ports import Balances, Entry, JournalProblem, Lease, LeaseLost, Standing, Stored

MINUTE = 60_000_000_000

_insert = {table.name: insert(table) for table in (decisions, orders, executions, outbox)}
_lease_row = select(leases.c.holder, leases.c.epoch).where(leases.c.account == bindparam("of"))
_order_progress = (
    update(orders)
    .where(orders.c.account == bindparam("of"), orders.c.client_order_id == bindparam("id"))
    .values({name: bindparam(name) for name in (
        "updated_time", "state", "terminal", "venue_order_id", "filled_quantity", "filled_notional", "fees_quote",
        "venue_filled", "closing", "reason",
    )})
)  # fmt: skip
_offset_moved = (
    update(input_offsets)
    .where(
        input_offsets.c.account == bindparam("of"),
        input_offsets.c.topic == bindparam("on"),
        input_offsets.c.partition == bindparam("at"),
    )
    .values(next_offset=bindparam("next"))
)


class SqlJournal:
    """Implements ports.Journal. One writer at a time; the caller owns the order of entries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = threading.RLock()
        self._readers = engine.execution_options(read_only=True)

    # --- the lease

    def acquire(self, account: str, holder: str, now: int, duration: int) -> Lease | None:
        with self._transaction() as connection:
            row = connection.execute(
                select(leases).where(leases.c.account == account).with_for_update()
            ).mappings().one_or_none()  # fmt: skip
            if row is None:
                first = Lease(account, holder, 1, now + duration)
                values = {"account": account, "holder": holder, "epoch": 1, "expires": first.expires}
                connection.execute(insert(leases).values(values))
                return first
            if row["holder"] and row["expires"] > now:
                return None
            lease = Lease(account, holder, row["epoch"] + 1, now + duration, row["expires"] if row["holder"] else 0)
            values = {"holder": holder, "epoch": lease.epoch, "expires": lease.expires}
            connection.execute(update(leases).where(leases.c.account == account).values(values))
            return lease

    def renew(self, lease: Lease, now: int, duration: int) -> Lease:
        """A lease that ran out may be renewed as long as nobody took it, which the epoch says.

        That is safe: every taker raises the epoch in a transaction of its own, so either it came first and this raises
        LeaseLost, or it finds the new expiry and waits. In between nothing was sent, because the sender's fence looks
        at the expiry; and what is sent later is signed with the time of its journal row, so that an order from before
        the gap is refused by the venue itself once its receive window is over."""
        with self._transaction() as connection:
            _fence(connection, lease)
            connection.execute(update(leases).where(leases.c.account == lease.account).values(expires=now + duration))
        return Lease(lease.account, lease.holder, lease.epoch, now + duration, lease.quiet_from)

    def release(self, lease: Lease, now: int) -> None:
        """Give the lease back after the last request was answered; an empty holder means nobody's."""
        with self._transaction() as connection:
            _fence(connection, lease)
            connection.execute(update(leases).where(leases.c.account == lease.account).values(holder="", expires=now))

    # --- writing

    def commit(self, entry: Entry, lease: Lease) -> None:
        account = lease.account
        with self._transaction() as connection:
            _fence(connection, lease)
            if entry.decisions:
                decided = [rows.decision_row(account, decision) for decision in entry.decisions]
                connection.execute(_insert["decisions"], decided)
            if entry.new_orders:
                connection.execute(_insert["orders"], [rows.order_row(order) for order in entry.new_orders])
            for order in entry.changed_orders:
                keys = {"of": account, "id": order.client_order_id}
                connection.execute(_order_progress, keys | rows.order_progress(order))
            if entry.fills:
                numbers = {e.fact.execution_id: e.sequence for e in entry.events if isinstance(e.fact, Fill)}
                new = [rows.fill_row(account, numbers[fill.execution_id], fill) for fill in entry.fills]
                connection.execute(_insert["executions"], new)
            if entry.events:
                connection.execute(_insert["outbox"], [_outbox_row(account, event) for event in entry.events])
            for consumed in entry.consumed:
                _move_offset(connection, account, consumed)
            if entry.trading_state is not None:
                _add_state(connection, account, entry)
            if entry.balances is not None:
                _put_balances(connection, account, entry.balances)

    def mark_published(self, lease: Lease, sequence: int) -> None:
        with self._transaction() as connection:
            _fence(connection, lease)
            _put(connection, published, {"account": lease.account}, {"sequence": sequence})

    def tidy(self) -> None:
        """Move the write-ahead log into the file while nobody waits for it."""
        if self._engine.dialect.name == "sqlite":
            connection = self._engine.raw_connection()
            try:
                # Not through the engine's transaction: a checkpoint inside one is refused as locked.
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
            finally:
                connection.close()

    # --- reading

    def load(self, account: str, now: int, explore_window: int) -> Stored:
        with self._reading() as connection:
            ids = _execution_ids(connection, account)
            alive = connection.execute(select(orders).where(orders.c.account == account, orders.c.terminal.is_(False)))
            live = tuple(rows.order_of(row, ids.get(row["client_order_id"], frozenset())) for row in alive.mappings())
            state, by, reason = _trading_state(connection, account)
            newest = select(func.max(outbox.c.sequence)).where(outbox.c.account == account)
            offsets = connection.execute(select(input_offsets).where(input_offsets.c.account == account)).mappings()
            recent = select(orders.c.recorded_time).where(
                orders.c.account == account, orders.c.recorded_time > now - MINUTE
            )
            return Stored(
                live_orders=live,
                held=_held(connection, account),
                execution_ids=frozenset().union(*ids.values()),
                trading_state=state,
                state_by=by,
                state_reason=reason,
                sequence=connection.execute(newest).scalar() or 0,
                offsets={(row["topic"], row["partition"]): row["next_offset"] for row in offsets},
                balances=_balances(connection, account),
                sent_times=tuple(sorted(connection.execute(recent).scalars())),
                latest_as_of=_latest_as_of(connection, account),
                explore_scores=_explore_scores(connection, account, explore_window),
            )

    def standing(self, account: str, before: Standing) -> Standing:
        with self._reading() as connection:
            alive = connection.execute(select(orders).where(orders.c.account == account, orders.c.terminal.is_(False)))
            live = [
                rows.order_of(row, _ids_of(connection, account, row["client_order_id"])) for row in alive.mappings()
            ]
            newest = select(func.max(outbox.c.sequence)).where(outbox.c.account == account)
            sequence = connection.execute(newest).scalar() or 0
            return Standing(sequence, tuple(live), _held(connection, account, before.held, before.sequence))

    def decision(self, account: str, key: str) -> Decision | None:
        return self._one_decision(decisions.c.account == account, decisions.c.decision_key == key)

    def decision_of_prediction(self, account: str, prediction_id: str) -> Decision | None:
        return self._one_decision(decisions.c.account == account, decisions.c.prediction_id == prediction_id)

    def _one_decision(self, *where: Any) -> Decision | None:
        with self._reading() as connection:
            row = connection.execute(select(decisions).where(*where).limit(1)).mappings().one_or_none()
        return None if row is None else rows.decision_of(row)

    def order(self, account: str, client_order_id: str) -> Order | None:
        where = (orders.c.account == account, orders.c.client_order_id == client_order_id)
        found = self._orders(select(orders).where(*where))
        return found[0] if found else None

    def orders_of_decision(self, account: str, key: str) -> tuple[Order, ...]:
        where = (orders.c.account == account, orders.c.decision_key == key)
        return self._orders(select(orders).where(*where).order_by(orders.c.recorded_time, orders.c.client_order_id))

    def orders(
        self, account: str, instrument: str, states: Collection[OrderState], after: tuple[int, str] | None, limit: int
    ) -> tuple[Order, ...]:
        query = select(orders).where(orders.c.account == account)
        if instrument:
            query = query.where(orders.c.instrument == instrument)
        if states:
            query = query.where(orders.c.state.in_([state.name for state in states]))
        if after is not None:
            query = query.where(tuple_(orders.c.recorded_time, orders.c.client_order_id) > after)
        return self._orders(query.order_by(orders.c.recorded_time, orders.c.client_order_id).limit(limit))

    def _orders(self, query: Any) -> tuple[Order, ...]:
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
            return tuple(
                rows.order_of(row, _ids_of(connection, row["account"], row["client_order_id"])) for row in found
            )

    def fills(self, account: str, client_order_id: str) -> tuple[Fill, ...]:
        where = (executions.c.account == account, executions.c.client_order_id == client_order_id)
        with self._reading() as connection:
            found = connection.execute(select(executions).where(*where).order_by(executions.c.number)).mappings()
            return tuple(rows.fill_of(row) for row in found)

    def events(self, account: str, after: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        where = (outbox.c.account == account, outbox.c.sequence > after)
        query = select(outbox.c.sequence, outbox.c.payload).where(*where)
        with self._reading() as connection:
            found = connection.execute(query.order_by(outbox.c.sequence).limit(limit))
            return tuple((sequence, bytes(payload)) for sequence, payload in found)

    def published(self, account: str) -> int:
        with self._reading() as connection:
            found = connection.execute(select(published.c.sequence).where(published.c.account == account)).scalar()
        return found or 0

    # --- transactions

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        # SQLite lets a second writer sleep and try again: in this process they queue, which costs microseconds.
        try:
            with self._writing, self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise JournalProblem(f"the journal refused a transaction: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        # A database in memory is one connection for all threads; in a file every reader has its own.
        alone = self._writing if isinstance(self._engine.pool, StaticPool) else nullcontext()
        try:
            with alone, self._readers.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise JournalProblem(f"the journal cannot be read: {error}") from error


def _fence(connection: Connection, lease: Lease) -> None:
    row = connection.execute(_lease_row, {"of": lease.account}).one_or_none()
    if row is None or (row.holder, row.epoch) != (lease.holder, lease.epoch):
        found = "nobody" if row is None else f"{row.holder or 'nobody'} (epoch {row.epoch})"
        raise LeaseLost(f"account {lease.account} is held by {found}, not by {lease.holder} (epoch {lease.epoch})")


def _outbox_row(account: str, event: AccountEvent) -> dict[str, Any]:
    return {"account": account, "sequence": event.sequence, "payload": encode_event(event)}


def _move_offset(connection: Connection, account: str, at: InputAt) -> None:
    keys = {"of": account, "on": at.topic, "at": at.partition, "next": at.offset + 1}
    if connection.execute(_offset_moved, keys).rowcount == 0:
        values = {"account": account, "topic": at.topic, "partition": at.partition, "next_offset": at.offset + 1}
        connection.execute(insert(input_offsets).values(values))


def _put(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Update the row of a key, or insert it: the same on every database, because the lease keeps other writers out."""
    where = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*where).values(values)).rowcount == 0:
        connection.execute(insert(table).values(key | values))


def _put_balances(connection: Connection, account: str, new: Balances) -> None:
    values = {"opening": str(new.opening), "peak": str(new.peak), "day": new.day, "day_equity": str(new.day_equity)}
    _put(connection, balances, {"account": account}, values)


def _add_state(connection: Connection, account: str, entry: Entry) -> None:
    change = entry.trading_state
    number = next(event.sequence for event in entry.events if event.fact is change)
    assert change is not None, "the caller looked"
    states = {"before": change.before.name, "after": change.after.name}
    row = {"account": account, "number": number, "by": change.by, "reason": change.reason, "time": entry.time}
    connection.execute(insert(trading_states).values(states | row))


def _trading_state(connection: Connection, account: str) -> tuple[TradingState, str, str]:
    query = select(trading_states).where(trading_states.c.account == account)
    row = connection.execute(query.order_by(trading_states.c.number.desc()).limit(1)).mappings().one_or_none()
    return (TradingState.ACTIVE, "", "") if row is None else (TradingState[row["after"]], row["by"], row["reason"])


def _balances(connection: Connection, account: str) -> Balances | None:
    row = connection.execute(select(balances).where(balances.c.account == account)).mappings().one_or_none()
    if row is None:
        return None
    return Balances(Decimal(row["opening"]), Decimal(row["peak"]), row["day"], Decimal(row["day_equity"]))


def _execution_ids(connection: Connection, account: str) -> dict[str, frozenset[str]]:
    query = select(executions.c.client_order_id, executions.c.execution_id).where(executions.c.account == account)
    ids: dict[str, set[str]] = {}
    for client_order_id, execution_id in connection.execute(query):
        ids.setdefault(client_order_id, set()).add(execution_id)
    return {key: frozenset(value) for key, value in ids.items()}


def _ids_of(connection: Connection, account: str, client_order_id: str) -> frozenset[str]:
    where = (executions.c.account == account, executions.c.client_order_id == client_order_id)
    return frozenset(connection.execute(select(executions.c.execution_id).where(*where)).scalars())


def _held(connection: Connection, account: str, known: tuple[Held, ...] = (), after: int = 0) -> tuple[Held, ...]:
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


def _latest_as_of(connection: Connection, account: str) -> dict[tuple[str, str, str], int]:
    keys = (decisions.c.strategy, decisions.c.session, decisions.c.instrument)
    query = select(*keys, func.max(decisions.c.as_of)).where(decisions.c.account == account).group_by(*keys)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def _explore_scores(connection: Connection, account: str, window: int) -> dict[str, tuple[float, ...]]:
    where = (decisions.c.account == account, decisions.c.strategy == EXPLORE)
    instruments = connection.execute(select(decisions.c.instrument).where(*where).distinct()).scalars().all()
    found = {}
    for instrument in instruments:
        query = select(decisions.c.score).where(*where, decisions.c.instrument == instrument)
        newest = connection.execute(query.order_by(decisions.c.decided_time.desc()).limit(window)).scalars().all()
        found[instrument] = tuple(abs(score) for score in reversed(newest))
    return found
