"""One line of the gate: what was asked, what was found, and whether it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """`value` and `threshold` as the report shows them; `reason` is a sentence for whoever reads a refusal."""

    name: str
    passed: bool
    value: str
    threshold: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A line that the policy leaves out, with the policy's own reason."""

    name: str
    because: str


def unchecked(name: str, threshold: str, what: str) -> Line:
    """A check that does not exist yet, or lacks what it needs, refuses."""
    return Line(name, False, "cannot be checked yet", threshold, what)


def refused(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if not line.passed]


def passed(lines: Sequence[Line]) -> bool:
    """All of at least one line passed: nothing judged is nothing shown."""
    return len(lines) > 0 and not refused(lines)


def figure(value: float | None, digits: int = 4) -> str:
    return "none" if value is None else f"{value:.{digits}g}"
