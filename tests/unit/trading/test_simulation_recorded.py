"""Orders against a recording: the queue ahead, trades through, takers that remember what they took."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Side
from libs.trading.simulation.matching import Match
from libs.trading.simulation.recorded import RecordedBook


def a_recording() -> RecordedBook:
    book = RecordedBook()
    book.display(Side.BUY, [(99, 10), (98, 10)])
    book.display(Side.SELL, [(101, 10), (102, 10)])
    return book


def test_what_was_displayed_when_we_joined_trades_before_us() -> None:
    book = a_recording()
    book.rest("ours", Side.BUY, 99, 5)
    assert book.trade(Side.SELL, 99, 10) == []
    assert book.trade(Side.SELL, 99, 3) == [Match("ours", 99, 3)]
    assert book.trade(Side.SELL, 99, 9) == [Match("ours", 99, 2)]


def test_a_cancel_ahead_does_not_help() -> None:
    book = a_recording()
    book.rest("ours", Side.BUY, 99, 5)
    book.display(Side.BUY, [(99, 1)])
    assert book.trade(Side.SELL, 99, 10) == []


def test_a_trade_through_our_price_fills_us_up_to_its_size() -> None:
    book = a_recording()
    book.rest("ours", Side.BUY, 99, 5)
    assert book.trade(Side.SELL, 98, 3) == [Match("ours", 99, 3)]


def test_a_trade_on_the_other_side_or_short_of_our_price_does_nothing() -> None:
    book = a_recording()
    book.rest("ours", Side.BUY, 98, 5)
    assert book.trade(Side.SELL, 99, 100) == []
    assert book.trade(Side.BUY, 98, 100) == []


def test_one_trade_is_given_out_once_best_price_then_oldest_first() -> None:
    book = a_recording()
    for name, price in (("low", 97), ("old", 100), ("young", 100)):
        book.rest(name, Side.BUY, price, 4)
    assert book.trade(Side.SELL, 97, 10) == [Match("old", 100, 4), Match("young", 100, 4), Match("low", 97, 2)]


def test_a_taker_cannot_take_a_displayed_size_twice_until_it_is_refreshed() -> None:
    book = a_recording()
    assert book.take(Side.BUY, 8, None) == [Match(None, 101, 8)]
    assert book.take(Side.BUY, 8, 101) == [Match(None, 101, 2)]
    assert book.take(Side.BUY, 8, 101) == []
    book.display(Side.SELL, [(101, 6)])
    assert book.take(Side.BUY, 8, 102) == [Match(None, 101, 6), Match(None, 102, 2)]


def test_our_taker_leaves_the_recorded_display_as_it_was() -> None:
    book = a_recording()
    book.take(Side.BUY, 15, None)
    assert book.asks.sizes == {101: 10, 102: 10}


TRADES = st.lists(st.tuples(st.integers(95, 102), st.integers(1, 9)), max_size=30)


@given(TRADES, st.lists(st.tuples(st.integers(96, 100), st.integers(1, 9)), max_size=5))
def test_fills_never_exceed_what_traded(trades: list[tuple[int, int]], ours: list[tuple[int, int]]) -> None:
    book = a_recording()
    for number, (price, lots) in enumerate(ours):
        book.rest(str(number), Side.BUY, price, lots)
    filled = 0
    for price, lots in trades:
        given_out = sum(match.lots for match in book.trade(Side.SELL, price, lots))
        assert given_out <= lots
        filled += given_out
    assert filled + sum(book.cancel(str(number)) for number in range(len(ours))) == sum(lots for _, lots in ours)
