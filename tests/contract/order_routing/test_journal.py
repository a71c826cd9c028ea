"""The journal on every database it may lie in: durable as a whole or not at all, and fenced by the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from libs.trading.decisions import AccountEvent, Decision, Fact, TradingStateChanged
from libs.trading.orders import Filled, OrderState, Sent, advance
from libs.trading.risk import TradingState
from libs.wire.orders import encode_event
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.schema import migrate, open_database
from services.order_routing.domain import InputAt
from services.order_routing.ports import Balances, Entry, JournalProblem, Keep, Lease, LeaseLost
from tests.builders.orders import START, a_fill, a_prediction, an_order
from tests.fakes.router_world import RouterWorld

SECOND = 1_000_000_000
LEASE = 3 * SECOND

Open = Callable[[], SqlJournal]  # the same journal again, as another process would open it


@pytest.fixture
def opened(address: str) -> Iterator[Open]:
    journals: list[SqlJournal] = []

    def open_again() -> SqlJournal:
        engine = open_database(address)
        migrate(engine)
        journals.append(SqlJournal(engine))
        return journals[-1]

    yield open_again
    for journal in journals:
        journal.close()


def held_by(journal: SqlJournal, holder: str, now: int = START) -> Lease:
    lease = journal.acquire("paper", holder, now, LEASE)
    assert lease is not None
    return lease


def test_what_was_committed_is_there_for_the_next_process(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    order = an_order()
    fill = a_fill(quantity=Decimal("0.005"))
    filled = advance(advance(order, Sent(), START), Filled(fill), START)
    journal.commit(Entry(time=START, new_orders=(order,), consumed=(InputAt("predictions", 3, 9),)), lease)
    events = (AccountEvent(1, "paper", START, fill), AccountEvent(2, "paper", START, filled))
    journal.commit(Entry(time=START, changed_orders=(filled,), fills=(fill,), events=events), lease)
    stored = opened().load("paper", START, 10)
    assert stored.live_orders == (filled,)
    assert stored.held[0].position.quantity == Decimal("0.005")
    assert stored.held[0].opening is not None
    assert (stored.sequence, stored.offsets) == (2, {("predictions", 3): 10})
    assert stored.execution_ids == {"x1"}
    assert opened().fills("paper", order.client_order_id) == (fill,)


def test_an_entry_is_written_whole_or_not_at_all(opened: Open) -> None:
    journal = opened()
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


def test_an_execution_cannot_be_written_twice(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    fill = a_fill()
    journal.commit(Entry(time=START, fills=(fill,), events=(AccountEvent(1, "paper", START, fill),)), lease)
    with pytest.raises(JournalProblem):
        journal.commit(Entry(time=START, fills=(fill,), events=(AccountEvent(2, "paper", START, fill),)), lease)


def test_a_lease_is_one_holders_until_it_expires(opened: Open) -> None:
    journal = opened()
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


def test_even_the_same_name_is_fenced_by_the_epoch(opened: Open) -> None:
    journal = opened()
    old = held_by(journal, "a")
    held_by(journal, "a", START + LEASE)
    with pytest.raises(LeaseLost):
        journal.commit(Entry(time=START), old)


def test_a_renewed_lease_lasts_longer(opened: Open) -> None:
    journal = opened()
    lease = journal.renew(held_by(journal, "a"), START + 2 * SECOND, LEASE)
    assert lease.expires == START + 5 * SECOND
    assert journal.acquire("paper", "b", START + 4 * SECOND, LEASE) is None


def test_a_lease_that_ran_out_goes_on_only_while_nobody_took_it(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    renewed = journal.renew(lease, START + 5 * SECOND, LEASE)
    assert (renewed.epoch, renewed.expires) == (lease.epoch, START + 8 * SECOND)
    assert journal.acquire("paper", "b", START + 6 * SECOND, LEASE) is None
    taken = held_by(journal, "b", START + 9 * SECOND)
    assert taken.quiet_from == renewed.expires
    with pytest.raises(LeaseLost):
        journal.renew(renewed, START + 10 * SECOND, LEASE)


def test_a_lease_given_back_needs_no_waiting(opened: Open) -> None:
    journal = opened()
    journal.release(held_by(journal, "a"), START)
    assert held_by(journal, "b").quiet_from == 0


def test_the_trading_state_is_the_newest_and_says_who(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    states = [TradingState.ACTIVE, TradingState.HALTED, TradingState.REDUCING]
    for number, (before, after) in enumerate(pairwise(states), start=1):
        change = TradingStateChanged(before, after, f"person {number}", "why")
        event = AccountEvent(number, "paper", START, change)
        journal.commit(Entry(time=START, trading_state=change, events=(event,)), lease)
    stored = opened().load("paper", START, 1)
    assert (stored.trading_state, stored.state_by) == (TradingState.REDUCING, "person 2")


def test_balances_are_exact_text(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    first = Balances(Decimal("1000.10"), Decimal("1000.123456789012345678901"), 1, Decimal(5))
    journal.commit(Entry(time=START, balances=first), lease)
    journal.commit(Entry(time=START, balances=replace(first, day=2)), lease)
    assert journal.load("paper", START, 1).balances == replace(first, day=2)


def test_orders_are_listed_in_pages(opened: Open) -> None:
    journal = opened()
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


def test_tidying_loses_nothing(opened: Open) -> None:
    journal = opened()
    journal.commit(Entry(time=START, new_orders=(an_order(),)), held_by(journal, "a"))
    journal.tidy()
    assert opened().order("paper", "test-1") is not None


def test_many_rows_of_every_kind_go_in_one_entry_and_come_back_equal(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    orders = tuple(
        an_order(client_order_id=f"o{n}", reason="ä 'quoted' \x7f %s :name", session="s" * 500) for n in range(3)
    )
    made = tuple(a_decision(f"d{n}", decided_time=START + n, denied=None if n else ("X", "y")) for n in range(3))
    facts: list[Fact] = [*made, *orders]
    events = tuple(AccountEvent(n, "paper", START, fact) for n, fact in enumerate(facts, start=1))
    offsets = tuple(InputAt("predictions", n, 2**40) for n in range(3))
    journal.commit(Entry(time=START, decisions=made, new_orders=orders, events=events, consumed=offsets), lease)
    again = opened()
    assert again.load("paper", START, 10).offsets == {("predictions", n): 2**40 + 1 for n in range(3)}
    assert tuple(again.decision("paper", one.decision_key) for one in made) == made
    assert again.orders("paper", "", (), None, 10) == orders
    assert [number for number, _ in again.events("paper", 0, 10)] == list(range(1, 7))
    assert again.events("paper", 5, 1)[0][1] == encode_event(events[5])


def test_one_of_two_that_take_a_free_lease_at_once_gets_it(opened: Open) -> None:
    journals = [opened() for _ in range(4)]
    start = threading.Barrier(4)

    def take(number: int) -> Lease | None:
        start.wait()
        return journals[number].acquire("paper", f"holder-{number}", START, LEASE)

    for round_ in range(5):
        with ThreadPoolExecutor(4) as pool:
            leases = [lease for lease in pool.map(take, range(4)) if lease is not None]
        assert [lease.epoch for lease in leases] == [round_ + 1]
        journals[0].release(leases[0], START)


def test_two_holders_that_write_at_once_never_both_succeed(opened: Open) -> None:
    """The second takes an expired lease while the first writes on: from its epoch on nothing of the first is there."""
    old, new = opened(), opened()
    first = held_by(old, "a")
    written: list[int] = []

    def write_on() -> None:
        with suppress(LeaseLost):
            for number in range(1, 10_000):
                fact = AccountEvent(number, "paper", START, an_order(client_order_id=f"o{number}"))
                old.commit(Entry(time=START, events=(fact,)), first)
                written.append(number)

    writer = threading.Thread(target=write_on)
    writer.start()
    while len(written) < 20:
        assert writer.is_alive()
    second = held_by(new, "b", START + LEASE)
    there = new.load("paper", START, 1).sequence
    new.commit(Entry(time=START, events=(AccountEvent(there + 1, "paper", START, an_order()),)), second)
    writer.join(30.0)
    assert written[-1] == there
    assert new.load("paper", START, 1).sequence == there + 1


def test_sequence_goes_on_after_everything_told_was_removed(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    events = tuple(AccountEvent(n, "paper", START, an_order(client_order_id=f"o{n}")) for n in range(1, 6))
    journal.commit(Entry(time=START, events=events), lease)
    keep = Keep(events=LEASE, decisions=LEASE)
    assert journal.prune(lease, keep, START + 2 * LEASE).rows == 0, "nothing was told"
    journal.mark_published(lease, 4)
    assert journal.prune(lease, keep, START + LEASE).rows == 0, "not old enough"
    assert journal.prune(lease, replace(keep, batch=3), START + 2 * LEASE).rows == 3
    assert journal.prune(lease, replace(keep, batch=3), START + 2 * LEASE).rows == 1
    assert [number for number, _ in journal.events("paper", 0, 10)] == [5], "untold"
    journal.mark_published(lease, 5)
    assert journal.prune(lease, keep, START + 2 * LEASE).rows == 0, "the newest stays"
    assert opened().load("paper", START, 1).sequence == 5


def test_old_decisions_go_but_never_one_with_an_order_nor_the_newest(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    made = tuple(
        a_decision(f"d{n}", decided_time=START + n, as_of=n, session="s1" if n < 8 else "s2") for n in range(12)
    )
    order = an_order(client_order_id="d2", decision_key="d2")
    journal.commit(Entry(time=START, decisions=made, new_orders=(order,)), lease)
    keep = Keep(events=LEASE, decisions=LEASE, batch=4)
    removed = 0
    while count := journal.prune(lease, keep, START + LEASE + 10).rows:
        removed += count
    left = {one.decision_key for one in made if journal.decision("paper", one.decision_key) is not None}
    assert left == {"d2", "d7", "d10", "d11"}, "with an order, the newest of s1, too young, the newest of s2"
    assert removed == 8
    assert journal.order("paper", "d2") == order
    assert journal.prune(lease, keep, START + LEASE + 10).rows == 0


def test_an_old_decision_is_found_behind_many_that_stay(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    made = tuple(a_decision(f"d{n:02}", decided_time=START + n // 10, as_of=n) for n in range(30))
    orders = tuple(an_order(client_order_id=f"o{n}", decision_key=f"d{n:02}") for n in range(25))
    journal.commit(Entry(time=START, decisions=made, new_orders=orders), lease)
    keep = Keep(events=LEASE, decisions=LEASE, batch=3)
    removed = 0
    while (batch := journal.prune(lease, keep, START + 2 * LEASE)).more:
        removed += batch.rows
    assert removed == 4, "all without an order but the newest"


def test_exploring_keeps_the_rows_that_its_cut_is_made_of(opened: Open) -> None:
    journal = opened()
    lease = held_by(journal, "a")
    made = tuple(
        a_decision(f"d{n}", decided_time=START + n, as_of=n, strategy="explore", score=n / 10) for n in range(9)
    )
    journal.commit(Entry(time=START, decisions=made), lease)
    keep = Keep(events=LEASE, decisions=LEASE, explore_window=4)
    before = journal.load("paper", START, 4).explore_scores
    assert journal.prune(lease, keep, START + 9 * LEASE).rows == 5
    assert journal.load("paper", START, 4).explore_scores == before


def test_only_the_holder_removes_anything(opened: Open) -> None:
    journal = opened()
    old = held_by(journal, "a")
    event = AccountEvent(1, "paper", START, an_order())
    journal.commit(Entry(time=START, events=(event, replace(event, sequence=2))), old)
    journal.mark_published(old, 2)
    held_by(journal, "b", START + LEASE)
    with pytest.raises(LeaseLost):
        journal.prune(old, Keep(events=1, decisions=1), START + 9 * LEASE)


def a_decision(key: str, **parts: Any) -> Decision:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(up=0.3, down=0.3, now=world.clock.now), InputAt("predictions", 0, 0))
    return replace(world.told.decisions[0], decision_key=key, **parts)
