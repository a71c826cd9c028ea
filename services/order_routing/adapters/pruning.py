"""Which rows nothing needs any more: old events that are on their topic, old decisions that led to no order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, select, tuple_

from libs.wire.orders import decode_event
from services.order_routing.adapters.statements import Statement
from services.order_routing.adapters.tables import decisions, orders, outbox, published
from services.order_routing.domain import EXPLORE
from services.order_routing.ports import Keep

FORGET_EVENT = "DELETE FROM outbox WHERE account = :account AND sequence = :sequence"
FORGET_DECISION = "DELETE FROM decisions WHERE account = :account AND decision_key = :decision_key"

Looked = dict[tuple[str, str], tuple[int, str]]  # the time and key of a decision, by strategy and instrument


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction removes, and the last decision that was looked at, where there may be more behind it."""

    statements: list[Statement] = field(default_factory=list)
    looked: Looked = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(len(statement.rows) for statement in self.statements)


class Pruning:
    """Remembers how far it looked, so that rows which stay are not looked at again and again; a restart looks anew."""

    def __init__(self) -> None:
        self._looked: Looked = {}

    def candidates(self, connection: Connection, account: str, keep: Keep, now: int) -> Batch:
        """Rows to remove, at most about `keep.batch` of a kind."""
        found = Batch()
        events = _old_events(connection, account, keep, now)
        if events:
            found.statements.append(
                Statement(FORGET_EVENT, [{"account": account, "sequence": number} for number in events])
            )
        keys = self._old_decisions(connection, account, keep, now, found.looked)
        if keys:
            found.statements.append(
                Statement(FORGET_DECISION, [{"account": account, "decision_key": key} for key in keys])
            )
        return found

    def done(self, batch: Batch) -> None:
        self._looked.update(batch.looked)

    def _old_decisions(self, connection: Connection, account: str, keep: Keep, now: int, looked: Looked) -> list[str]:
        mine = decisions.c.account == account
        kinds = select(decisions.c.strategy, decisions.c.instrument).where(mine).distinct()
        place = (decisions.c.decided_time, decisions.c.decision_key)
        keys: list[str] = []
        for strategy, instrument in connection.execute(kinds).all():
            of_kind = (mine, decisions.c.strategy == strategy, decisions.c.instrument == instrument)
            before = now - keep.decisions
            if strategy == EXPLORE:
                before = min(before, _newest(connection, of_kind, keep.explore_window))
            after = self._looked.get((strategy, instrument), (0, ""))
            query = (
                select(*place, _stays(account))
                .where(*of_kind, tuple_(*place) > after, decisions.c.decided_time < before)
                .order_by(*place)
                .limit(keep.batch)
            )
            found = connection.execute(query).all()
            keys += [key for _, key, stays in found if not stays]
            if len(found) == keep.batch:
                looked[strategy, instrument] = (found[-1].decided_time, found[-1].decision_key)
            if len(keys) >= keep.batch:
                break
        return keys


def _stays(account: str) -> ColumnElement[bool]:
    """Whether a decision led to an order, or is the newest of its session, by which a repeated one is recognised."""
    other = decisions.alias()
    with_order = exists().where(orders.c.account == account, orders.c.decision_key == decisions.c.decision_key)
    same = [other.c[name] == decisions.c[name] for name in ("account", "strategy", "instrument", "session")]
    newer = exists().where(*same, other.c.as_of > decisions.c.as_of, other.c.decided_time >= decisions.c.decided_time)
    return (with_order | ~newer).label("stays")


def _newest(connection: Connection, of_kind: tuple[Any, ...], window: int) -> int:
    """When the oldest of the newest `window` rows was decided; 0 while there are fewer."""
    query = select(decisions.c.decided_time).where(*of_kind).order_by(decisions.c.decided_time.desc())
    return connection.execute(query.offset(window - 1).limit(1)).scalar() or 0


def _old_events(connection: Connection, account: str, keep: Keep, now: int) -> list[int]:
    """Sequences of events that are on the topic and older than they need be; the newest one stays in any case."""
    told = connection.execute(select(published.c.sequence).where(published.c.account == account)).scalar() or 0
    newest = connection.execute(select(func.max(outbox.c.sequence)).where(outbox.c.account == account)).scalar() or 0
    where = (outbox.c.account == account, outbox.c.sequence <= min(told, newest - 1))
    query = select(outbox.c.sequence, outbox.c.payload).where(*where).order_by(outbox.c.sequence).limit(keep.batch)
    old = []
    for number, payload in connection.execute(query):
        if decode_event(bytes(payload)).time >= now - keep.events:
            break
        old.append(number)
    return old
