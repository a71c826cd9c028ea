"""Opens what the router needs of the world, from plain values."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from libs.bundle.canonical import BundleError
from libs.runtime.kafka import Consumer, KafkaConfig, Producer, open_consumer, open_producer
from libs.runtime.logs import get_logger
from libs.runtime.tracing import open_tracer
from libs.trading.risk import RiskLimits
from libs.trading.scoring import Scope
from services.order_routing.adapters.bybit_signing import Credentials
from services.order_routing.adapters.decision_traces import DecisionTraces
from services.order_routing.domain import ExplorePolicy, Policy
from services.order_routing.ports import JournalProblem, Keep

MS = 1_000_000
DAY = 86_400_000 * MS
OF_POLICY = {"account", "namespace", "scope", "unit_notional", "flatten_on_halt", "halt_on_foreign"}

log = get_logger("order_routing")


class KeyProblem(SystemExit):
    """The venue's key file is missing or unreadable; ends the process with code 1 and the message."""


class StartProblem(SystemExit):
    """What a person has to set right before a router can start; ends the process with code 1 and the message."""


@contextmanager
def one_line_problems() -> Iterator[None]:
    """A damaged journal, a missing key or an unusable folder ends the start in one line that says which, and why."""
    try:
        yield
    except (JournalProblem, BundleError, OSError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise StartProblem(f"order_routing: {why}") from error


class _Key(msgspec.Struct, frozen=True):
    key: str
    secret: str


def read_credentials(file: Path) -> Credentials:
    """The first key of {"key": ..., "secret": ...} or a list of such. Raises KeyProblem, never showing the content."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Key | list[_Key])
    except (OSError, msgspec.MsgspecError) as error:
        raise KeyProblem(f'order_routing: {file}: {error}; wanted {{"key": "...", "secret": "..."}}') from error
    keys = found if isinstance(found, list) else [found]
    if not keys or not keys[0].key or not keys[0].secret:
        raise KeyProblem(f"order_routing: {file}: no key in it")
    return Credentials(keys[0].key, keys[0].secret)


def limits_of(risk: Mapping[str, Any]) -> RiskLimits:
    """From the settings' names, whose ages are in ms."""
    named = {name: value for name, value in risk.items() if not name.endswith("_ms")}
    ages = {name.removesuffix("_ms") + "_ns": value * MS for name, value in risk.items() if name.endswith("_ms")}
    return RiskLimits(**named, **ages)


def explore_of(explore: Mapping[str, Any], *, on: bool) -> ExplorePolicy | None:
    return ExplorePolicy(**{name: value for name, value in explore.items() if name != "on"}) if on else None


def policy_of(
    *,
    account: str,
    namespace: str,
    scope: str,
    unit_notional: Decimal,
    risk: Mapping[str, Any],
    explore: ExplorePolicy | None,
    flatten_on_halt: bool,
    halt_on_foreign: bool,
) -> Policy:
    limits = limits_of(risk)
    return Policy(account, namespace, Scope[scope], unit_notional, limits, explore, flatten_on_halt, halt_on_foreign)


def keep_of(events_days: float, decisions_days: float, explore: ExplorePolicy | None) -> Keep:
    return Keep(int(events_days * DAY), int(decisions_days * DAY), 1 if explore is None else explore.window)


@dataclass(frozen=True, slots=True)
class KafkaEnds:
    """One producer, and a fresh reader each time."""

    producer: Producer
    open_reader: Callable[[], Consumer]


def open_kafka(config: KafkaConfig, name: str) -> KafkaEnds:
    return KafkaEnds(open_producer(config, name), lambda: open_consumer(config, f"{name}-reader"))


def open_traces(name: str, endpoint: str, ratio: float) -> DecisionTraces:
    return DecisionTraces(open_tracer(name, endpoint, ratio), time.time_ns)


def holder_name() -> str:
    """This process among all that could hold the lease."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"


def log_note(what: str, why: str) -> None:
    """A line about what the process waits for, or begins."""
    log.info(what, because=why)
