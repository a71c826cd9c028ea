"""What can be played: the generator, or recordings."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from libs.trading.market import NS_PER_SECOND, Provenance, SessionClock
from services.exchange_simulator.adapters.recordings import look_through, moments, prepare
from services.exchange_simulator.domain.generator import Flow, Generator
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.market import Source
from services.exchange_simulator.domain.pacing import Pacer
from services.exchange_simulator.domain.recording import Recording
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


def recorded(
    files: Sequence[Path], folder: Path, symbol: str, fees: Fees, training_fraction: float, now_ns: int
) -> Played:
    """A new session of recordings: the first of two trains, the second trades; a single one is split by time.

    Raises `RecordingProblem`."""
    archived, digest = prepare(files, folder)
    found = look_through(archived, digest)
    instrument = Instrument(symbol, found.instrument, found.tick, found.lot, *fees)
    last = found.ends_ns[-1]
    end = found.ends_ns[0] if len(archived) > 1 else found.start_ns + int(training_fraction * (last - found.start_ns))
    clock = SessionClock(now_ns, found.start_ns, 0.0)
    name = f"rec-{digest[:8]}-{now_ns:x}"
    session = Session(name, instrument, found.provenance, State.PLAYING_TRAINING, clock, found.start_ns, end)
    return Recording(moments(archived), instrument), Pacer(session, waits=True)
