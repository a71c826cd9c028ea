"""Waits for a broker that is away or whose topics are not made yet, and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from libs.runtime.kafka import KafkaUnavailable
from libs.runtime.logs import get_logger

AGAIN_S = 1.0
T = TypeVar("T")

log = get_logger("patience")


class ToldToStop(Exception):
    """The service ends while it was waiting."""


def until_answered(ask: Callable[[], T], stop: threading.Event) -> T:
    """The broker's answer, however long it takes. Raises `ToldToStop`."""
    while not stop.is_set():
        try:
            return ask()
        except KafkaUnavailable as error:
            log.warning("waiting for the broker", reason=str(error))
            stop.wait(AGAIN_S)
    raise ToldToStop
