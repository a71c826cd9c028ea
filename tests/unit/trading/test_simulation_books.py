"""Ladders, published depth and the price-time book."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.simulation.depth import PublishedDepth
from libs.trading.simulation.ladder import Ladder
from libs.trading.simulation.matching import Match, PriceTimeBook

SIDES = st.sampled_from([Side.BUY, Side.SELL])
CHANGES = st.lists(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=12), max_size=12)


@given(SIDES, CHANGES, st.integers(1, 8))
def test_a_reader_of_the_changes_holds_the_best_levels(
    side: Side, rounds: list[list[tuple[int, int]]], cap: int
) -> None:
    ladder = Ladder(side)
    depth = PublishedDepth(ladder, cap)
    reader: dict[int, int] = {}
    for levels in rounds:
        for price, lots in levels:
            ladder.set(price, lots)
        for price, lots in depth.changes():
            if lots:
                reader[price] = lots
            else:
                del reader[price]  # a level is never taken away that was not there
        best = sorted(ladder.sizes, reverse=side is Side.BUY)[:cap]
        assert reader == {price: ladder.sizes[price] for price in best}
        assert depth.snapshot() == [(price, reader[price]) for price in best]


def test_changes_say_each_level_once_and_best_first() -> None:
    ladder = Ladder(Side.BUY)
    depth = PublishedDepth(ladder, 2)
    for price in (10, 12, 11):
        ladder.set(price, 5)
    assert depth.changes() == [(12, 5), (11, 5)]
    ladder.set(12, 0)
    assert depth.changes() == [(12, 0), (10, 5)]
    assert depth.changes() == []


def a_book() -> PriceTimeBook:
    book = PriceTimeBook()
    book.set_anonymous(Side.SELL, 101, 10)
    book.set_anonymous(Side.SELL, 102, 10)
    book.set_anonymous(Side.BUY, 99, 10)
    return book


def test_a_taker_walks_from_the_best_price_to_its_limit() -> None:
    book = a_book()
    assert book.take(Side.BUY, 25, 101) == [Match(None, 101, 10)]
    assert book.take(Side.BUY, 4, None) == [Match(None, 102, 4)]
    assert book.asks.best() == 102


def test_size_that_was_there_first_trades_first() -> None:
    book = a_book()
    book.rest("ours", Side.BUY, 99, 5)
    book.set_anonymous(Side.BUY, 99, 14)  # four more, behind us
    assert book.take(Side.SELL, 12, None) == [Match(None, 99, 10), Match("ours", 99, 2)]
    assert book.take(Side.SELL, 5, None) == [Match("ours", 99, 3), Match(None, 99, 2)]
    assert book.cancel("ours") == 0


def test_anonymous_size_that_is_withdrawn_leaves_from_behind_us_first() -> None:
    book = a_book()
    book.rest("ours", Side.BUY, 99, 5)
    book.set_anonymous(Side.BUY, 99, 14)
    book.set_anonymous(Side.BUY, 99, 10)
    assert book.take(Side.SELL, 11, None) == [Match(None, 99, 10), Match("ours", 99, 1)]
    assert book.bids.sizes == {99: 4}


def test_a_quote_that_crosses_our_order_takes_it() -> None:
    book = a_book()
    book.rest("ours", Side.BUY, 100, 5)
    assert book.set_anonymous(Side.SELL, 100, 8) == [Match("ours", 100, 5)]
    assert book.asks.sizes[100] == 3
    assert book.bids.best() == 99


def test_a_cancelled_order_leaves_only_what_was_anonymous() -> None:
    book = a_book()
    book.rest("ours", Side.SELL, 101, 7)
    assert book.asks.sizes[101] == 17
    assert book.cancel("ours") == 7
    assert book.asks.sizes[101] == 10
    assert book.anonymous(Side.SELL, 101) == 10


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["quote", "rest", "take", "cancel"]), SIDES, st.integers(95, 105), st.integers(1, 9)),
    max_size=40,
)


@given(ACTIONS)
def test_nothing_is_made_or_lost_and_the_book_never_crosses(actions: list[tuple[str, Side, int, int]]) -> None:
    book = PriceTimeBook()
    left: dict[str, int] = {}
    for number, (what, side, price, lots) in enumerate(actions):
        matches: list[Match] = []
        if what == "quote":
            matches = book.set_anonymous(side, price, lots)
        elif what == "take":
            matches = book.take(side, lots, price)
        elif what == "rest" and not book.crosses(side, price):
            book.rest(str(number), side, price, lots)
            left[str(number)] = lots
        elif what == "cancel" and left:
            oldest = next(iter(left))
            assert book.cancel(oldest) == left.pop(oldest)
        assert sum(match.lots for match in matches) <= lots
        for match in matches:
            if match.maker is not None:
                left[match.maker] -= match.lots
                if not left[match.maker]:
                    del left[match.maker]
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is None or ask is None or bid < ask
    for order_id, lots in left.items():
        assert book.cancel(order_id) == lots
