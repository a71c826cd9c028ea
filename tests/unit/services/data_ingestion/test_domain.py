"""Who may be LIVE, which book frames follow, what is ahead of time, when it is quiet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Bar, Provenance, Seed, SessionClock, SessionEnd, Tick
from services.data_ingestion.domain import (
    QUARANTINE_NS,
    QUIET_NS,
    Announcement,
    BookVerdict,
    NoSource,
    SourceState,
    announced,
    is_ahead,
    is_the_venue,
    judge_book,
    live_announcement,
    retry_delay_s,
    tick_due,
    time_of,
)
from tests.builders import market as build

S = 1_000_000_000
HOUR = 3600 * S


def an_announcement(
    rate: float = 1.0,
    state: SourceState = SourceState.TRADING,
    provenance: Provenance = Provenance.SIMULATED,
    symbol: str = "BTCUSDT",
) -> Announcement:
    return Announcement("s", "sim.linear.BTCUSDT", symbol, provenance, SessionClock(0, 0, rate), state)


@pytest.mark.parametrize(
    ("http", "stream"),
    [
        ("https://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bytick.com", "wss://stream.bybit.com"),
        ("https://api.bybit.com:443", "wss://stream.bybit.com:443/"),
    ],
)
def test_the_venues_own_hosts_over_tls_are_the_venue(http: str, stream: str) -> None:
    assert is_the_venue(http, stream)


@pytest.mark.parametrize(
    ("http", "stream"),
    [
        ("http://api.bybit.com", "wss://stream.bybit.com"),
        ("https://api.bybit.com", "ws://stream.bybit.com"),
        ("https://api.bybit.com", "wss://stream.bybit.com.evil.example"),
        ("https://api.bybit.com@evil.example", "wss://stream.bybit.com"),
        ("https://evil.example/api.bybit.com", "wss://stream.bybit.com"),
        ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
        ("https://api.bybit.com:8443", "wss://stream.bybit.com"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("", ""),
    ],
)
def test_nothing_else_is_the_venue(http: str, stream: str) -> None:
    assert not is_the_venue(http, stream)


def test_a_source_that_calls_itself_live_is_refused() -> None:
    with pytest.raises(NoSource, match="calls itself LIVE"):
        announced([an_announcement(provenance=Provenance.LIVE)], "BTCUSDT", "localhost")


def test_a_symbol_that_is_not_offered_is_named_with_those_that_are() -> None:
    with pytest.raises(NoSource, match="unknown symbol DOGEUSDT: localhost offers BTCUSDT"):
        announced([an_announcement()], "DOGEUSDT", "localhost")
    with pytest.raises(NoSource, match="offers nothing"):
        announced([], "DOGEUSDT", "localhost")


def test_the_venues_clock_is_ours_corrected_by_the_offset() -> None:
    live = live_announcement("bybit.linear.BTCUSDT", "BTCUSDT", -250)
    assert live.provenance is Provenance.LIVE
    assert live.clock.session_time(1_700_000_000_000_000_000) == 1_699_999_999_999_999_750


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 2**40))
def test_a_chain_of_updates_after_a_snapshot_is_accepted(kinds: list[bool], first: int) -> None:
    last = None
    for step, snapshot in enumerate([True, *kinds]):
        update = build.a_book(update_id=first + step, snapshot=snapshot)
        assert judge_book(last, update) is BookVerdict.ACCEPT
        last = update.update_id


@given(st.integers(2, 2**40), st.integers(2, 2**40), st.booleans())
def test_any_other_update_id_is_a_gap(last: int, found: int, snapshot: bool) -> None:
    verdict = judge_book(last, build.a_book(update_id=found, snapshot=snapshot))
    if found == last + 1:
        assert verdict is BookVerdict.ACCEPT
    elif found == last:
        assert verdict is (BookVerdict.ACCEPT if snapshot else BookVerdict.DROP)
    else:
        assert verdict is BookVerdict.GAP


def test_updates_wait_for_a_snapshot() -> None:
    assert judge_book(None, build.a_book(update_id=9, snapshot=False)) is BookVerdict.DROP
    assert judge_book(None, build.a_book(update_id=9, snapshot=True)) is BookVerdict.ACCEPT


def test_two_seconds_ahead_is_the_most() -> None:
    now = 100 * S
    assert not is_ahead(build.a_trade(event_time=now + QUARANTINE_NS), now)
    assert is_ahead(build.a_trade(event_time=now + QUARANTINE_NS + 1), now)
    # a recorder's clock that is 1.27 s behind the venue's is no reason
    assert not is_ahead(build.a_trade(event_time=now + 1_270_000_000), now)


def test_every_kind_of_event_has_a_time() -> None:
    bar = Bar(1, 61, 1.0, 1.0, 1.0, 1.0, 0.0)
    assert [time_of(event) for event in (Tick(5), bar, Seed((bar,)), SessionEnd(7))] == [5, 61, 61, 7]


def test_a_second_of_session_time_without_an_event_makes_a_tick() -> None:
    source = an_announcement()
    assert tick_due(source, now=10 * S, heard=9 * S + 1, last_tick=0, quiet_wall_ns=S) is None
    assert tick_due(source, now=10 * S, heard=9 * S, last_tick=0, quiet_wall_ns=0) == 10 * S


def test_quiet_is_measured_by_the_sessions_clock() -> None:
    fast = an_announcement(rate=100.0)
    assert tick_due(fast, now=100 * S, heard=99 * S, last_tick=0, quiet_wall_ns=QUIET_NS // 100) == 100 * S


def test_a_clock_that_waits_says_so_once() -> None:
    source = an_announcement(rate=0.0, state=SourceState.WAITING)
    assert tick_due(source, now=10 * S, heard=10 * S, last_tick=0, quiet_wall_ns=QUIET_NS - 1) is None
    assert tick_due(source, now=10 * S, heard=10 * S, last_tick=0, quiet_wall_ns=QUIET_NS) == 10 * S
    assert tick_due(source, now=10 * S, heard=10 * S, last_tick=10 * S, quiet_wall_ns=HOUR) is None


def test_a_clock_that_stands_between_slices_says_nothing() -> None:
    source = an_announcement(rate=0.0, state=SourceState.PLAYING_TRAINING)
    assert tick_due(source, now=10 * S, heard=9 * S, last_tick=0, quiet_wall_ns=HOUR) is None


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_retries_wait_longer_and_longer_up_to_half_a_minute(failures: int, chance: float) -> None:
    delay = retry_delay_s(failures, chance)
    assert 0.125 <= delay <= 30.0
    assert retry_delay_s(failures + 1, chance) >= delay
    assert retry_delay_s(failures, 1.0) <= 2.0 * retry_delay_s(failures, 0.0)
