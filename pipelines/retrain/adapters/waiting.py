"""Waits for what is not there yet: tells what it waits for, and gives up after a stated time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from pipelines.retrain.adapters.run_folder import NotYet

T = TypeVar("T")
EVERY_S = 2.0


def when_there(attempt: Callable[[], T], patience_s: float, tell: Callable[[str], None]) -> T:
    """What `attempt` returns once it no longer raises NotYet. Raises its last NotYet after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return attempt()
        except NotYet as missing:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotYet(f"{missing}; waited {patience_s:g} s for it (--patience-s)") from missing
            tell(f"waiting, {left:.0f} s left: {missing}")
            time.sleep(min(EVERY_S, max(left, 0.05)))
