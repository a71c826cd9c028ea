"""What can be played: the generator, or recordings."""

from __future__ import annotations

from decimal import Decimal

from libs.trading.market import NS_PER_SECOND, Provenance, SessionClock
from services.exchange_simulator.domain.generator import Flow, Generator
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.market import Source
from services.exchange_simulator.domain.pacing import Pacer
from services.exchange_simulator.domain.sessions import Session, State

MS = 1_000_000
Played = tuple[Source, Pacer]
Fees = tuple[Decimal, Decimal]  # maker, taker, as fractions of notional


def generated(flow: Flow, symbol: str, fees: Fees, training_s: int, now_ns: int) -> Played:
    """A new session of the generator whose training stretch began so long ago that it ends about now."""
    start = now_ns - now_ns % MS - training_s * NS_PER_SECOND
    instrument = Instrument(symbol, f"sim.linear.{symbol}", Decimal(str(flow.tick)), Decimal("0.001"), *fees)
    name = f"sim-{flow.seed}-{now_ns:x}"
    clock = SessionClock(now_ns, start, 0.0)
    end = start + training_s * NS_PER_SECOND
    session = Session(name, instrument, Provenance.SIMULATED, State.PLAYING_TRAINING, clock, start, end)
    return Generator(flow, start), Pacer(session, waits=False)
