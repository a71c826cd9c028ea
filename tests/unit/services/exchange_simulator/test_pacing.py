"""When steps are due, and how a session's clock and state change on the way."""

from __future__ import annotations

from decimal import Decimal

from libs.trading.market import NS_PER_SECOND, Provenance, SessionClock
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.pacing import Pacer
from services.exchange_simulator.domain.sessions import Session, State

S = NS_PER_SECOND
WALL = 5_000 * S


def a_pacer(*, waits: bool, start: int, end: int) -> Pacer:
    listed = Instrument("BTCUSDT", "sim.linear.BTCUSDT", Decimal(1), Decimal("0.001"), Decimal(0), Decimal(0))
    clock = SessionClock(WALL, start, 0.0)
    return Pacer(Session("s", listed, Provenance.SIMULATED, State.PLAYING_TRAINING, clock, start, end), waits)


def test_the_clock_stands_at_the_slice_that_is_played() -> None:
    pacer = a_pacer(waits=True, start=100 * S, end=110 * S)
    assert pacer.before(100 * S, WALL)
    assert not pacer.before(100 * S + S // 2, WALL)
    assert pacer.before(103 * S + S // 2, WALL)
    assert pacer.session.clock == SessionClock(WALL, 103 * S, 0.0)
    assert pacer.due_s(104 * S, WALL) == 0.0


def test_a_generator_trades_when_its_time_meets_the_walls() -> None:
    pacer = a_pacer(waits=False, start=WALL - 10 * S, end=WALL)
    assert pacer.before(WALL - S, WALL + S)
    assert pacer.session.state == "PLAYING_TRAINING"
    assert pacer.before(WALL + 2 * S, WALL + 2 * S)
    assert pacer.session.state == "TRADING"
    assert pacer.session.clock == SessionClock(WALL + 2 * S, WALL + 2 * S, 1.0)
    assert pacer.due_s(WALL + 5 * S, WALL + 3 * S) == 2.0
    assert not pacer.go(WALL)


def test_a_recording_waits_for_the_word_then_goes_on_at_rate_one_and_ends() -> None:
    pacer = a_pacer(waits=True, start=100 * S, end=110 * S)
    assert pacer.before(110 * S, WALL)
    assert pacer.before(111 * S, WALL)
    assert (pacer.session.state, pacer.session.clock.rate) == (State.WAITING, 0.0)
    assert pacer.due_s(111 * S, WALL) is None
    assert not pacer.before(111 * S, WALL)
    assert pacer.go(WALL + 60 * S)
    assert pacer.session.clock == SessionClock(WALL + 60 * S, 110 * S, 1.0)
    assert pacer.due_s(111 * S, WALL + 60 * S) == 1.0
    assert pacer.before(None, WALL + 62 * S)
    assert (pacer.session.state, pacer.session.clock) == (State.ENDED, SessionClock(WALL + 62 * S, 112 * S, 0.0))
    assert pacer.due_s(None, WALL + 63 * S) is None
