"""When the next step of a session is due, and how its clock and state change on the way."""

from __future__ import annotations

from dataclasses import replace

from libs.trading.market import NS_PER_SECOND, SessionClock
from services.exchange_simulator.domain.sessions import Session, State

SLICE_NS = NS_PER_SECOND


class Pacer:
    """Moves a session through its states. `waits`: at the training stretch's end the clock stops until `go`.

    A session that does not wait plays fast until its time meets the wall's, which is a little after `training_end_ns`.
    """

    def __init__(self, session: Session, waits: bool) -> None:
        self.session = session
        self._waits = waits
        self._slice_end = session.training_start_ns

    def due_s(self, step_ns: int | None, wall_ns: int) -> float | None:
        """Seconds until the step may be played; 0 is at once, None is not before something else happens."""
        if self.session.state is State.PLAYING_TRAINING:
            return 0.0
        if self.session.state is not State.TRADING:
            return None
        if step_ns is None:
            return 0.0
        return max(0.0, (step_ns - self.session.clock.session_time(wall_ns)) / NS_PER_SECOND)

    def before(self, step_ns: int | None, wall_ns: int) -> bool:
        """Bring clock and state to where the step can be played; True when they changed and must be announced."""
        session = self.session
        if session.state not in (State.PLAYING_TRAINING, State.TRADING):
            return False
        if step_ns is None:
            ended = session.clock.session_time(wall_ns)
            return self._become(State.ENDED, SessionClock(wall_ns, ended, 0.0))
        if session.state is State.TRADING:
            return False
        if self._waits and step_ns > session.training_end_ns:
            return self._become(State.WAITING, SessionClock(wall_ns, session.training_end_ns, 0.0))
        if not self._waits and step_ns >= wall_ns:
            return self._become(State.TRADING, SessionClock(wall_ns, wall_ns, 1.0))
        if step_ns >= self._slice_end:
            start = step_ns - (step_ns - session.training_start_ns) % SLICE_NS
            self._slice_end = start + SLICE_NS
            return self._become(State.PLAYING_TRAINING, SessionClock(wall_ns, start, 0.0))
        return False

    def go(self, wall_ns: int) -> bool:
        """End a WAITING; False when nothing waits."""
        if self.session.state is not State.WAITING:
            return False
        return self._become(State.TRADING, SessionClock(wall_ns, self.session.training_end_ns, 1.0))

    def _become(self, state: State, clock: SessionClock) -> bool:
        self.session = replace(self.session, state=state, clock=clock)
        return True
