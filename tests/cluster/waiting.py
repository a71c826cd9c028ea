"""Waits for a condition, never for time alone, and says what it saw last when it was in vain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx
import psycopg

from infra.demo.source import SourceProblem
from libs.runtime.kafka import KafkaUnavailable
from tests.cluster.commands import CommandFailed

T = TypeVar("T")

# What a look may meet while pods come and go; the next look may be luckier.
PASSING = (
    CommandFailed,
    OSError,
    SourceProblem,
    httpx.HTTPError,
    json.JSONDecodeError,
    psycopg.Error,
    KafkaUnavailable,
)


class Failed(Exception):
    """A case did not see what it asks for; the message says what it saw instead."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why a condition does not hold now."""

    why: str


def until(what: str, look: Callable[[], T | NotYet], seconds: float, pause: float = 1.0) -> T:
    """The first look that is not NotYet. Raises Failed after `seconds` with what the last look saw."""
    end = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except PASSING as error:
            seen = NotYet(f"{type(error).__name__}: {error}")
        if not isinstance(seen, NotYet):
            return seen
        if time.monotonic() >= end:
            raise Failed(f"{what}: not within {seconds:.0f} s; seen last: {seen.why}")
        time.sleep(pause)


def insisted(what: str, action: Callable[[], T], seconds: float = 30.0) -> T:
    """What an action returns, tried again while the way to it heals."""
    return until(what, action, seconds)


def check(holds: bool, otherwise: str) -> None:
    """Raises Failed with `otherwise` unless it holds."""
    if not holds:
        raise Failed(otherwise)
