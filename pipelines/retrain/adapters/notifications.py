"""Tells people: one message to every apprise address of a file, tried a few times."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import apprise

TRIES, FIRST_PAUSE_S = 4, 2.0


def notify(addresses: Path, title: str, body: str, sleep: Callable[[float], None] = time.sleep) -> str:
    """Send to the addresses, one a line; returns what became of it in a few words, never an address: they are secrets.

    A file that is absent or empty means that no one asked to be told.
    """
    try:
        lines = [line.strip() for line in addresses.read_text().splitlines()]
    except (FileNotFoundError, NotADirectoryError):
        return "no one asked to be told"
    wanted = [line for line in lines if line and not line.startswith("#")]
    if not wanted:
        return "no one asked to be told"
    told, unread = 0, 0
    for address in wanted:
        service = apprise.Apprise()
        if not service.add(address):
            unread += 1
        elif _sent(service, title, body, sleep):
            told += 1
    failed = len(wanted) - told - unread
    parts = [f"told {told} of {len(wanted)}"]
    parts += [f"{unread} are no apprise addresses"] if unread else []
    parts += [f"{failed} did not take it after {TRIES} tries"] if failed else []
    return ", ".join(parts)


def _sent(service: apprise.Apprise, title: str, body: str, sleep: Callable[[float], None]) -> bool:
    pause = FIRST_PAUSE_S
    for attempt in range(TRIES):
        if service.notify(title=title, body=body):
            return True
        if attempt < TRIES - 1:
            sleep(pause)
            pause *= 2
    return False
