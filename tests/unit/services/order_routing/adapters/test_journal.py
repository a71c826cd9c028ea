"""The journal: durable as a whole or not at all, fenced by the lease, and of a known version."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from libs.trading.decisions import AccountEvent, TradingStateChanged
from libs.trading.orders import Filled, OrderState, Sent, advance
from libs.trading.risk import TradingState
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.schema import open_database
from services.order_routing.domain import InputAt
from services.order_routing.ports import Balances, Entry, JournalProblem, Lease, LeaseLost
from tests.builders.orders import START, a_fill, an_order

SECOND = 1_000_000_000
LEASE = 3 * SECOND


def a_journal(folder: Path) -> SqlJournal:
    return SqlJournal(open_database(f"sqlite:///{folder / 'journal.sqlite'}"))


def held_by(journal: SqlJournal, holder: str, now: int = START) -> Lease:
    lease = journal.acquire("paper", holder, now, LEASE)
    assert lease is not None
    return lease


def test_what_was_committed_is_there_for_the_next_process(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    order = an_order()
    fill = a_fill(quantity=Decimal("0.005"))
    filled = advance(advance(order, Sent(), START), Filled(fill), START)
    journal.commit(Entry(time=START, new_orders=(order,), consumed=(InputAt("predictions", 3, 9),)), lease)
    events = (AccountEvent(1, "paper", START, fill), AccountEvent(2, "paper", START, filled))
    journal.commit(Entry(time=START, changed_orders=(filled,), fills=(fill,), events=events), lease)
    stored = a_journal(tmp_path).load("paper", START, 10)
    assert stored.live_orders == (filled,)
    assert stored.held[0].position.quantity == Decimal("0.005")
    assert stored.held[0].opening is not None
    assert (stored.sequence, stored.offsets) == (2, {("predictions", 3): 10})
    assert stored.execution_ids == {"x1"}
    assert a_journal(tmp_path).fills("paper", order.client_order_id) == (fill,)


def test_an_entry_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    journal.commit(Entry(time=START, new_orders=(an_order(),)), lease)
    twice = Entry(
        time=START,
        consumed=(InputAt("predictions", 0, 5),),
        new_orders=(an_order(client_order_id="other"), an_order()),
    )
    with pytest.raises(JournalProblem):
        journal.commit(twice, lease)
    assert journal.load("paper", START, 1).offsets == {}
    assert journal.order("paper", "other") is None


def test_an_execution_cannot_be_written_twice(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    fill = a_fill()
    journal.commit(Entry(time=START, fills=(fill,), events=(AccountEvent(1, "paper", START, fill),)), lease)
    with pytest.raises(JournalProblem):
        journal.commit(Entry(time=START, fills=(fill,), events=(AccountEvent(2, "paper", START, fill),)), lease)


def test_a_lease_is_one_holders_until_it_expires(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    first = held_by(journal, "a")
    assert journal.acquire("paper", "b", START + LEASE - 1, LEASE) is None
    assert journal.acquire("other", "b", START, LEASE) is not None
    second = held_by(journal, "b", START + LEASE)
    assert (second.epoch, second.quiet_from) == (first.epoch + 1, START + LEASE)
    with pytest.raises(LeaseLost, match="held by b"):
        journal.commit(Entry(time=START), first)
    with pytest.raises(LeaseLost):
        journal.renew(first, START + LEASE, LEASE)
    with pytest.raises(LeaseLost):
        journal.mark_published(first, 1)
    journal.commit(Entry(time=START), second)


def test_even_the_same_name_is_fenced_by_the_epoch(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    old = held_by(journal, "a")
    held_by(journal, "a", START + LEASE)
    with pytest.raises(LeaseLost):
        journal.commit(Entry(time=START), old)


def test_a_renewed_lease_lasts_longer(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = journal.renew(held_by(journal, "a"), START + 2 * SECOND, LEASE)
    assert lease.expires == START + 5 * SECOND
    assert journal.acquire("paper", "b", START + 4 * SECOND, LEASE) is None


def test_a_lease_that_ran_out_goes_on_only_while_nobody_took_it(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    renewed = journal.renew(lease, START + 5 * SECOND, LEASE)
    assert (renewed.epoch, renewed.expires) == (lease.epoch, START + 8 * SECOND)
    assert journal.acquire("paper", "b", START + 6 * SECOND, LEASE) is None
    taken = held_by(journal, "b", START + 9 * SECOND)
    assert taken.quiet_from == renewed.expires
    with pytest.raises(LeaseLost):
        journal.renew(renewed, START + 10 * SECOND, LEASE)


def test_a_lease_given_back_needs_no_waiting(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    journal.release(held_by(journal, "a"), START)
    assert held_by(journal, "b").quiet_from == 0


def test_the_trading_state_is_the_newest_and_says_who(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    states = [TradingState.ACTIVE, TradingState.HALTED, TradingState.REDUCING]
    for number, (before, after) in enumerate(pairwise(states), start=1):
        change = TradingStateChanged(before, after, f"person {number}", "why")
        event = AccountEvent(number, "paper", START, change)
        journal.commit(Entry(time=START, trading_state=change, events=(event,)), lease)
    stored = a_journal(tmp_path).load("paper", START, 1)
    assert (stored.trading_state, stored.state_by) == (TradingState.REDUCING, "person 2")


def test_balances_are_exact_text(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    first = Balances(Decimal("1000.10"), Decimal("1000.123456789012345678901"), 1, Decimal(5))
    journal.commit(Entry(time=START, balances=first), lease)
    journal.commit(Entry(time=START, balances=replace(first, day=2)), lease)
    assert journal.load("paper", START, 1).balances == replace(first, day=2)


def test_orders_are_listed_in_pages(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    lease = held_by(journal, "a")
    orders = [an_order(client_order_id=f"o{n}", recorded_time=START + n // 2) for n in range(7)]
    journal.commit(Entry(time=START, new_orders=tuple(orders)), lease)
    seen: list[str] = []
    after = None
    while page := journal.orders("paper", "", (OrderState.RECORDED,), after, 3):
        seen += [order.client_order_id for order in page]
        after = (page[-1].recorded_time, page[-1].client_order_id)
    assert seen == [order.client_order_id for order in orders]
    assert journal.orders("paper", "nothing", (), None, 10) == ()
    assert journal.orders("paper", "", (OrderState.FILLED,), None, 10) == ()


def test_commits_are_synchronous_and_begin_at_once(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_tidying_loses_nothing(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    journal.commit(Entry(time=START, new_orders=(an_order(),)), held_by(journal, "a"))
    journal.tidy()
    assert a_journal(tmp_path).order("paper", "test-1") is not None
