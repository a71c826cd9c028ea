"""Orders at the venue: what is saved before it is told, what fills, what is refused, what survives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from libs.trading.market import NS_PER_SECOND, Side
from services.exchange_simulator.adapters.sqlite_journal import JournalProblem, SqliteJournal
from services.exchange_simulator.domain import orders
from services.exchange_simulator.domain.accounts import Account, Changes
from services.exchange_simulator.domain.orders import Accepted, CancelType, Reason, Refused, Status, TimeInForce
from services.exchange_simulator.domain.public import BookFrame, TradesFrame
from services.exchange_simulator.domain.sessions import State
from services.exchange_simulator.handlers import Venue
from tests.builders.exchange import KEY, START, Heard, Remembered, a_venue, an_order, trading

S = NS_PER_SECOND


def order_of(venue: Venue, answer: Accepted | Refused) -> orders.Order:
    assert isinstance(answer, Accepted), answer
    return venue.account(KEY).orders[answer.order_id]


def play(venue: Venue, seconds: float) -> None:
    now = START
    while now < START + seconds * S:
        due = venue.due_s(now)
        assert due is not None
        now += int(due * S)
        venue.advance(now)


def best(venue: Venue) -> tuple[Decimal, Decimal]:
    book = venue.book()
    return venue.instrument.price(book.bids[0][0]), venue.instrument.price(book.asks[0][0])


@dataclass
class Careful(Heard):
    """Fails when it is told something that the journal does not hold yet."""

    journal: Remembered = field(default_factory=Remembered)

    def private(self, changes: Changes, account: Account, mark: Decimal | None) -> None:
        assert changes in self.journal.saved
        super().private(changes, account, mark)


def test_what_is_told_was_saved_before() -> None:
    journal = Remembered()
    heard = Careful(journal=journal)
    venue = trading(a_venue(heard, journal))
    venue.place(KEY, an_order(), START)
    venue.place(KEY, an_order(price="19900"), START)
    venue.cancel_all(KEY, START)
    assert len(heard.changes) == 3


def test_a_journal_that_fails_tells_nobody() -> None:
    class Broken(Remembered):
        def save(self, changes: Sequence[Changes], sequence: int) -> None:
            if any(change.orders for change in changes):
                raise OSError("disk full")

    heard = Heard()
    venue = trading(a_venue(heard, Broken()))
    told = len(heard.frames)
    with pytest.raises(OSError, match="disk full"):
        venue.place(KEY, an_order(), START)
    assert heard.changes == []
    assert len(heard.frames) == told


def test_a_taker_pays_the_ask_and_the_public_sees_the_trade_and_the_book() -> None:
    heard = Heard()
    venue = trading(a_venue(heard))
    ask, told = best(venue)[1], len(heard.frames)
    order = order_of(venue, venue.place(KEY, an_order(quantity="0.010"), START))
    assert (order.status, order.filled_value) == (Status.FILLED, ask * Decimal("0.010"))
    assert [type(frame) for frame in heard.frames[told:]] == [TradesFrame, BookFrame]
    assert venue.account(KEY).wallet.balance == 10_000 - order.filled_value * Decimal("0.0001")


def test_a_resting_order_is_in_the_book_and_is_filled_by_the_flow_as_maker() -> None:
    venue = trading(a_venue())
    bid = best(venue)[0]
    order = order_of(venue, venue.place(KEY, an_order(price=str(bid), tif=TimeInForce.POST_ONLY), START))
    assert order.status is Status.NEW
    play(venue, 60)
    after = venue.account(KEY).orders[order.order_id]
    assert after.status is Status.FILLED
    assert after.filled_value == after.quantity * bid
    assert {execution.is_maker for execution in venue.account(KEY).executions} == {True}


def test_orders_are_received_only_while_trading() -> None:
    venue = a_venue()
    venue.begin(START)
    venue.advance(START)
    refused = venue.place(KEY, an_order(), START)
    assert isinstance(refused, Refused)
    assert refused.code == orders.NOT_TRADING


def test_reduce_only_never_opens() -> None:
    venue = trading(a_venue())
    assert venue.place(KEY, an_order(Side.SELL, reduce_only=True), START) == Refused(
        orders.NOTHING_TO_REDUCE, "current position is zero, cannot fix reduce-only order qty"
    )
    venue.place(KEY, an_order(Side.BUY, "0.010"), START)
    closing = order_of(venue, venue.place(KEY, an_order(Side.SELL, "0.050", reduce_only=True), START))
    assert (closing.quantity, closing.status) == (Decimal("0.010"), Status.FILLED)
    assert venue.account(KEY).holdings["BTCUSDT"].size == 0


def test_a_resting_reduce_only_order_ends_with_the_position() -> None:
    venue = trading(a_venue())
    venue.place(KEY, an_order(Side.BUY, "0.010"), START)
    target = order_of(venue, venue.place(KEY, an_order(Side.SELL, "0.010", "20900", reduce_only=True), START))
    more = venue.place(KEY, an_order(Side.SELL, "0.010", "20950", reduce_only=True), START)
    assert isinstance(more, Refused)
    venue.place(KEY, an_order(Side.SELL, "0.010"), START)
    ended = venue.account(KEY).orders[target.order_id]
    assert (ended.status, ended.reason, ended.cancel_type) == (
        Status.CANCELLED, Reason.REDUCE_ONLY, CancelType.BY_REDUCE_ONLY,
    )  # fmt: skip


def test_a_fill_or_kill_that_does_not_fit_trades_nothing() -> None:
    venue = trading(a_venue())
    ask = best(venue)[1]
    order = order_of(venue, venue.place(KEY, an_order(Side.BUY, "0.400", str(ask), TimeInForce.FOK), START))
    assert order.status is Status.FILLED
    huge = "0.050"
    venue.place(KEY, an_order(Side.SELL, "0.400"), START)
    missed = order_of(venue, venue.place(KEY, an_order(Side.BUY, huge, str(ask - 100), TimeInForce.FOK), START))
    assert (missed.status, missed.filled) == (Status.CANCELLED, Decimal(0))


def test_accounts_go_on_in_a_new_session_and_open_orders_join_its_book(tmp_path: Path) -> None:
    path = tmp_path / "accounts.sqlite"
    venue = trading(a_venue(journal=SqliteJournal(path)))
    venue.place(KEY, an_order(link_id="entry"), START)
    resting = order_of(venue, venue.place(KEY, an_order(price="19500"), START))
    crossing = order_of(venue, venue.place(KEY, an_order(price="19990", tif=TimeInForce.POST_ONLY), START))
    left = venue.account(KEY)

    again = trading(a_venue(journal=SqliteJournal(path), now=START + 100 * S), START + 100 * S)
    account = again.account(KEY)
    assert (account.wallet, account.holdings, account.executions) == (left.wallet, left.holdings, left.executions)
    assert again.session.id != venue.session.id
    assert account.orders[resting.order_id] == resting
    assert any(price == 19500 for price, _ in again.book().bids) or again.book().bids[-1][0] > 19500
    assert account.orders[crossing.order_id].status in (Status.NEW, Status.CANCELLED)
    assert isinstance(again.place(KEY, an_order(link_id="entry"), START), Refused)
    fresh = again.place(KEY, an_order(), START + 100 * S)
    assert isinstance(fresh, Accepted)
    assert fresh.order_id not in left.orders


def test_accounts_of_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.sqlite"
    journal = SqliteJournal(path)
    journal._db.execute("UPDATE about SET format = 99")
    journal.close()
    with pytest.raises(JournalProblem, match="format 99"):
        SqliteJournal(path)


def test_accounts_that_cannot_be_opened_are_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(JournalProblem, match=r"\(unable to open database file\); see that it may be written") as said:
        SqliteJournal(tmp_path)
    assert "away" not in str(said.value)


def test_cash_position_and_fills_agree_after_an_hour_of_trading() -> None:
    venue = trading(a_venue(training_s=1))
    now = START
    for number in range(200):
        side = Side.BUY if number % 3 else Side.SELL
        venue.place(KEY, an_order(side, "0.020"), now)
        now += S
        while (due := venue.due_s(now)) == 0.0:
            venue.advance(now)
        assert due is not None
    account = venue.account(KEY)
    signed = [(e.quantity if e.side is Side.BUY else -e.quantity, e) for e in account.executions]
    assert account.holdings["BTCUSDT"].size == sum(quantity for quantity, _ in signed)
    naive = sum((-quantity * e.price - e.fee for quantity, e in signed), Decimal(10_000))
    holding = account.holdings["BTCUSDT"]
    assert abs(account.wallet.balance - (naive + holding.size * holding.entry)) < Decimal("1e-8")
    for order in account.orders.values():
        fills = [e for e in account.executions if e.order_id == order.order_id]
        assert sum((e.quantity for e in fills), Decimal(0)) == order.filled
    assert venue.session.state is State.TRADING
