"""The trading rule: from a score and what is held to the position that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Target(IntEnum):
    """Wanted position in units of the configured size."""

    SHORT = -1
    FLAT = 0
    LONG = 1


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held: direction and the as-of (ns, session time) of the decision that opened it; FLAT has no opening."""

    direction: Target
    opened_as_of: int | None


def direction_target(score: float, threshold: float | None, holding: Holding, as_of: int, horizon: int) -> Target:
    """The thresholded direction: enter when |score| >= threshold, leave at the horizon or on the opposite signal.

    `score` is p_up - p_down; `threshold` None is "never": nothing is entered, what is held still ends at its horizon.
    A signal in the held direction renews nothing: the exit stays at `opened_as_of + horizon` (both ns), so that a
    trade's length is the label's. The opposite signal reverses.
    """
    signal = Target.FLAT
    if threshold is not None and abs(score) >= threshold and score != 0.0:
        signal = Target.LONG if score > 0 else Target.SHORT
    if holding.direction is Target.FLAT or holding.opened_as_of is None:
        return signal
    if signal is not Target.FLAT and signal is not holding.direction:
        return signal
    if as_of >= holding.opened_as_of + horizon:
        return Target.FLAT
    return holding.direction
