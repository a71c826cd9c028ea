"""The order journal in SQL: one transaction per entry, every one of them fenced by the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, func, select, text, tuple_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from libs.trading.decisions import Decision
from libs.trading.orders import Fill, Order, OrderState
from services.order_routing.adapters import readings, rows, schema, statements
from services.order_routing.adapters.database import connect, problem_of
from services.order_routing.adapters.postgres import PostgresWrites
from services.order_routing.adapters.pruning import Pruning
from services.order_routing.adapters.sqlite import SqliteWrites
from services.order_routing.adapters.tables import decisions, executions, leases, orders, outbox, published
from services.order_routing.ports import Entry, Keep, Lease, Pruned, Standing, Stored

MINUTE = 60_000_000_000

_new_lease = text(
    "INSERT INTO leases (account, holder, epoch, expires) VALUES (:account, '', 0, 0) ON CONFLICT (account) DO NOTHING"
)


class Writes(Protocol):
    """The one way to write under a lease, as each database does it best."""

    def run(self, lease: Lease, statements: Sequence[statements.Statement]) -> None: ...

    def close(self) -> None: ...


class SqlJournal:
    """Implements ports.Journal. One writer at a time; the caller owns the order of entries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = threading.RLock()
        self._on_server = engine.dialect.name == "postgresql"
        write: Callable[..., Writes] = PostgresWrites if self._on_server else SqliteWrites
        self._writes = write(partial(connect, engine), self._writing)
        self._pruning = Pruning()
        # One look is a transaction of its own; several looks that belong together see one state of the database.
        alone = {"isolation_level": "AUTOCOMMIT"} if self._on_server else {}
        together = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self._on_server else {}
        self._look = engine.execution_options(read_only=True, **alone)
        self._looks = engine.execution_options(read_only=True, **together)

    def check(self) -> None:
        schema.check(self._engine)

    def close(self) -> None:
        self._writes.close()
        self._engine.dispose()

    # --- the lease

    def acquire(self, account: str, holder: str, now: int, duration: int) -> Lease | None:
        with self._transaction() as connection:
            connection.execute(_new_lease, {"account": account})
            mine = leases.c.account == account
            row = connection.execute(select(leases).where(mine).with_for_update()).mappings().one()
            if row["holder"] and row["expires"] > now:
                return None
            lease = Lease(account, holder, row["epoch"] + 1, now + duration, row["expires"] if row["holder"] else 0)
            values = {"holder": holder, "epoch": lease.epoch, "expires": lease.expires}
            connection.execute(update(leases).where(mine).values(values))
            return lease

    def renew(self, lease: Lease, now: int, duration: int) -> Lease:
        """A lease that ran out may be renewed as long as nobody took it, which the epoch says.

        That is safe: every taker raises the epoch in a transaction of its own, so either it came first and this raises
        LeaseLost, or it finds the new expiry and waits. In between nothing was sent, because the sender's fence looks
        at the expiry; and what is sent later is signed with the time of its journal row, so that an order from before
        the gap is refused by the venue itself once its receive window is over."""
        self._writes.run(lease, statements.of_lease(lease, lease.holder, now + duration))
        return Lease(lease.account, lease.holder, lease.epoch, now + duration, lease.quiet_from)

    def release(self, lease: Lease, now: int) -> None:
        """Give the lease back after the last request was answered; an empty holder means nobody's."""
        self._writes.run(lease, statements.of_lease(lease, "", now))

    # --- writing

    def commit(self, entry: Entry, lease: Lease) -> None:
        self._writes.run(lease, statements.of_entry(lease.account, entry))

    def mark_published(self, lease: Lease, sequence: int) -> None:
        self._writes.run(lease, statements.of_published(lease.account, sequence))

    def prune(self, lease: Lease, keep: Keep, now: int) -> Pruned:
        with self._looking(together=True) as connection:
            found = self._pruning.candidates(connection, lease.account, keep, now)
        if found.statements:
            self._writes.run(lease, found.statements)
        self._pruning.done(found)
        return Pruned(found.rows, more=bool(found.rows or found.looked))

    def tidy(self) -> None:
        """Move the write-ahead log into the file while nobody waits for it."""
        if not self._on_server:
            connection = self._engine.raw_connection()
            try:
                # Not through the engine's transaction: a checkpoint inside one is refused as locked.
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
            finally:
                connection.close()

    # --- reading

    def load(self, account: str, now: int, explore_window: int) -> Stored:
        with self._looking(together=True) as connection:
            ids = readings.execution_ids(connection, account)
            state, by, reason = readings.trading_state(connection, account)
            recent = select(orders.c.recorded_time).where(
                orders.c.account == account, orders.c.recorded_time > now - MINUTE
            )
            return Stored(
                live_orders=readings.live_orders(connection, account),
                held=readings.held(connection, account),
                execution_ids=frozenset().union(*ids.values()),
                trading_state=state,
                state_by=by,
                state_reason=reason,
                sequence=readings.sequence(connection, account),
                offsets=readings.offsets(connection, account),
                balances=readings.balances_of_account(connection, account),
                sent_times=tuple(sorted(connection.execute(recent).scalars())),
                latest_as_of=readings.latest_as_of(connection, account),
                explore_scores=readings.explore_scores(connection, account, explore_window),
            )

    def standing(self, account: str, before: Standing) -> Standing:
        with self._looking(together=True) as connection:
            held = readings.held(connection, account, before.held, before.sequence)
            return Standing(readings.sequence(connection, account), readings.live_orders(connection, account), held)

    def decision(self, account: str, key: str) -> Decision | None:
        return self._one_decision(decisions.c.account == account, decisions.c.decision_key == key)

    def decision_of_prediction(self, account: str, prediction_id: str) -> Decision | None:
        return self._one_decision(decisions.c.account == account, decisions.c.prediction_id == prediction_id)

    def _one_decision(self, *where: Any) -> Decision | None:
        with self._looking() as connection:
            row = connection.execute(select(decisions).where(*where).limit(1)).mappings().one_or_none()
        return None if row is None else rows.decision_of(row)

    def order(self, account: str, client_order_id: str) -> Order | None:
        where = (orders.c.account == account, orders.c.client_order_id == client_order_id)
        found = self._orders(account, select(orders).where(*where))
        return found[0] if found else None

    def orders_of_decision(self, account: str, key: str) -> tuple[Order, ...]:
        query = select(orders).where(orders.c.account == account, orders.c.decision_key == key)
        return self._orders(account, query.order_by(orders.c.recorded_time, orders.c.client_order_id))

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
        return self._orders(account, query.order_by(orders.c.recorded_time, orders.c.client_order_id).limit(limit))

    def _orders(self, account: str, query: Any) -> tuple[Order, ...]:
        with self._looking(together=True) as connection:
            return readings.orders_of(connection, account, query)

    def fills(self, account: str, client_order_id: str) -> tuple[Fill, ...]:
        where = (executions.c.account == account, executions.c.client_order_id == client_order_id)
        with self._looking() as connection:
            found = connection.execute(select(executions).where(*where).order_by(executions.c.number)).mappings()
            return tuple(rows.fill_of(row) for row in found)

    def events(self, account: str, after: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        where = (outbox.c.account == account, outbox.c.sequence > after)
        query = select(outbox.c.sequence, outbox.c.payload).where(*where)
        with self._looking() as connection:
            found = connection.execute(query.order_by(outbox.c.sequence).limit(limit))
            return tuple((sequence, bytes(payload)) for sequence, payload in found)

    def first_event(self, account: str) -> int:
        with self._looking() as connection:
            query = select(func.min(outbox.c.sequence)).where(outbox.c.account == account)
            return connection.execute(query).scalar() or 0

    def published(self, account: str) -> int:
        with self._looking() as connection:
            found = connection.execute(select(published.c.sequence).where(published.c.account == account)).scalar()
        return found or 0

    # --- transactions

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._writing, self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise problem_of(error, "the journal refused a transaction") from error

    @contextmanager
    def _looking(self, *, together: bool = False) -> Iterator[Connection]:
        # A database in memory is one connection for all threads; elsewhere every reader has its own.
        alone = self._writing if isinstance(self._engine.pool, StaticPool) else nullcontext()
        try:
            with alone, (self._looks if together else self._look).connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise problem_of(error, "the journal cannot be read") from error
