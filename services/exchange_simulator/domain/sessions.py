"""What the venue says about the session it plays: where it stands and how its clock runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from libs.trading.market import Provenance, SessionClock
from services.exchange_simulator.domain.instrument import Instrument


class State(StrEnum):
    """PLAYING_TRAINING: as fast as it is read. WAITING: stands until told to go. TRADING: rate 1. ENDED: over."""

    PLAYING_TRAINING = "PLAYING_TRAINING"
    WAITING = "WAITING"
    TRADING = "TRADING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Session:
    """One unbroken history that the venue plays. Times are ns since 1970 UTC in session time.

    While PLAYING_TRAINING the clock stands (rate 0) at the start of the slice that is being sent, and moves from slice
    to slice: what is received then is known at its own event time, however fast the reader is.
    """

    id: str
    instrument: Instrument
    provenance: Provenance
    state: State
    clock: SessionClock
    training_start_ns: int
    training_end_ns: int
