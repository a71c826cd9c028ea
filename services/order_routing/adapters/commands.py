"""The commands on the journal beside the router itself: bring its tables up to date, and wait until they are."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from services.order_routing.adapters import schema
from services.order_routing.adapters.database import SETTING, JournalRefused, name_of, open_engine
from services.order_routing.ports import JournalAway, JournalProblem

USAGE = "usage: python -m services.order_routing [migrate | await-journal]   (without a command: the router)"
PATIENCE_S = 60.0
TELL_S = 5.0
PAUSE_S = 1.0


def run(arguments: list[str], address: Callable[[], str], patience_s: float = PATIENCE_S) -> int:
    """Exit codes: 0 done, 1 with one line that says what is missing or wrong and what to look at, 2 for a misspelt
    command. `migrate` waits for a server that does not answer yet, `await-journal` for a migrated one too."""
    commands = {"migrate": migrate, "await-journal": await_journal}
    if len(arguments) != 1 or arguments[0] not in commands:
        return _end(2, f"{' '.join(arguments)!r} is no command; {USAGE}")
    # a container's first process ignores SIGTERM unless it says what to do
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return commands[arguments[0]](address(), patience_s)


def migrate(url: str, patience_s: float) -> int:
    def attempt() -> str:
        engine = open_engine(url)
        try:
            return schema.migrate(engine)
        finally:
            engine.dispose()

    return _until_done(attempt, patience_s, "migrate", waits_for=(JournalAway,))


def await_journal(url: str, patience_s: float) -> int:
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        return _end(0, f"{name_of(engine)} is a file: the router migrates it itself")

    def attempt() -> str:
        schema.check(engine)
        return f"the journal {name_of(engine)} is ready"

    return _until_done(attempt, patience_s, "await-journal", waits_for=(JournalAway, JournalRefused))


def _until_done(
    attempt: Callable[[], str], patience_s: float, command: str, waits_for: tuple[type[BaseException], ...]
) -> int:
    """Try again while it is worth waiting; what is missing is said every few seconds, and at the end."""
    begun, told = time.monotonic(), -TELL_S
    while True:
        try:
            return _end(0, attempt())
        except (JournalProblem, JournalRefused) as problem:
            waited, why = time.monotonic() - begun, str(problem).removeprefix("order_routing: ")
            if not isinstance(problem, waits_for):
                return _end(1, why)
            if waited >= patience_s:
                return _end(1, f"{command}: after {waited:.0f} s {why}; look at the server and at {SETTING}")
            if waited - told >= TELL_S:
                told = waited
                print(f"order_routing: {command} waits: {why}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_S)


def _end(code: int, words: str) -> int:
    print(f"order_routing: {words}", file=sys.stderr if code else sys.stdout, flush=True)
    return code
