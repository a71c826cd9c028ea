"""The real router process that kills itself at one step of its first order: python -m tests.fakes.dying_router STEP."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from libs.trading.instrument import InstrumentRules
from libs.trading.orders import Order
from services.order_routing.__main__ import main
from services.order_routing.ports import SubmitOutcome, Venue
from services.order_routing.settings import Settings

AFTER_RECORD, AFTER_SEND, AFTER_ANSWER = "after_record", "after_send", "after_answer"
STEPS = (AFTER_RECORD, AFTER_SEND, AFTER_ANSWER)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingVenue:
    """A venue whose caller does not survive the named step of a submit."""

    def __init__(self, venue: Venue, step: str) -> None:
        self._venue = venue
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    def submit(self, order: Order, rules: InstrumentRules, written: Callable[[], None]) -> SubmitOutcome:
        if self._step == AFTER_RECORD:
            die()
        outcome = self._venue.submit(order, rules, die if self._step == AFTER_SEND else written)
        if self._step == AFTER_ANSWER:
            die()
        return outcome


if __name__ == "__main__":
    chosen = sys.argv[1]
    if chosen not in STEPS:
        raise SystemExit(f"no step {chosen!r}; one of {', '.join(STEPS)}")

    def see(venue: Venue) -> Venue:
        dying: Any = DyingVenue(venue, chosen)
        found: Venue = dying
        return found

    sys.exit(main(Settings.load(), see))
