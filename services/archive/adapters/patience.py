"""Makes a call again until the archive's place takes it, and says and counts that it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from libs.runtime.logs import get_logger
from libs.runtime.metrics import counter, gauge
from libs.wire.places import PlaceAway

FIRST_S = 0.5
LAST_S = 5.0

log = get_logger("archive")


class Patience:
    """One thread owns it. Meanwhile nothing more is read from the log, so that nothing piles up here."""

    def __init__(self, stop: threading.Event, place: str) -> None:
        self._stop = stop
        self._place = place
        self.is_away = False  # the last try failed

    def insist(self, call: Callable[[], None]) -> bool:
        """True once the call has returned, False when `stop` came first; what it raises but PlaceAway goes through."""
        began, wait = time.monotonic(), FIRST_S
        while True:
            try:
                call()
            except PlaceAway as error:
                self._tell(error, round(time.monotonic() - began, 1))
            else:
                if self.is_away:
                    self._tell_again(round(time.monotonic() - began, 1))
                return True
            if self._stop.wait(wait):
                return False
            wait = min(2 * wait, LAST_S)

    def _tell(self, error: PlaceAway, waited_s: float) -> None:
        self.is_away = True
        counter("archive_refused_total").labels(error.reason).inc()
        gauge("archive_waiting_seconds").set(waited_s)
        log.warning("waiting for the archive's place; nothing is lost meanwhile", reason=str(error), for_s=waited_s)

    def _tell_again(self, waited_s: float) -> None:
        self.is_away = False
        gauge("archive_waiting_seconds").set(0)
        log.info("the archive's place takes files again", place=self._place, after_s=waited_s)
