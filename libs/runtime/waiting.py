"""Waits, before a service starts, for what it stands on: `python -m libs.runtime.waiting {topics,tcp}`."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

ASK_SECONDS = 3.0  # how long one question may take
SAY_SECONDS = 5.0  # how often the same news is said again
PAUSE_SECONDS = 0.5
JOB_LOG = "kubectl logs job/NAME, the one that kubectl get jobs shows as …-topics-r<revision>"

Look = Callable[[], str | None]  # None when all is there, otherwise what is missing in one line


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all is there; 1 when not within the patience, with a last line that says where to look."""
    parser = argparse.ArgumentParser(prog="python -m libs.runtime.waiting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    topics = commands.add_parser("topics", help="wait for every topic of a list on a Kafka broker")
    topics.add_argument("--bootstrap", required=True, type=bootstrap_of, help="HOST:PORT[,HOST:PORT] of the broker")
    topics.add_argument("--prefix", default="", help="the environment's topic prefix")
    topics.add_argument("--topics-file", type=Path, required=True, help="protos/topics.yaml")
    topics.add_argument("--log", default=JOB_LOG, help="the command that shows why nobody made them, for the message")
    tcp = commands.add_parser("tcp", help="wait until each of these accepts a connection")
    tcp.add_argument("places", nargs="+", metavar="HOST:PORT", type=place)
    for command in (topics, tcp):
        command.add_argument("--patience", type=float, default=60.0, help="seconds until it gives up (default 60)")
    chosen = parser.parse_args(arguments)
    # a process that is a container's first ignores SIGTERM unless it says what to do
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if chosen.command == "tcp":
        return wait(lambda: closed_doors(chosen.places), chosen.patience)
    try:
        wanted = wanted_topics(chosen.topics_file, chosen.prefix)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as problem:
        say(f"no list of topics in {chosen.topics_file} (--topics-file): {problem!r}")
        return 1
    admin = admin_of(chosen.bootstrap)
    return wait(lambda: missing_topics(admin, chosen.bootstrap, wanted, chosen.log), chosen.patience)


def wait(look: Look, patience_s: float) -> int:
    """Look until nothing is missing (0) or patience ends (1); news is said at once, old news every five seconds."""
    begun = time.monotonic()
    said, said_at = "", 0.0
    while (missing := look()) is not None:
        now = time.monotonic()
        if now - begun >= patience_s:
            say(f"gave up after {now - begun:.0f} s: {missing}")
            return 1
        if missing != said or now - said_at >= SAY_SECONDS:
            say(f"waiting: {missing}")
            said, said_at = missing, now
        time.sleep(PAUSE_SECONDS)
    say(f"all is there after {time.monotonic() - begun:.1f} s")
    return 0


def wanted_topics(file: Path, prefix: str) -> dict[str, int]:
    """Full name and number of partitions of every topic of the list, `<name>.dead` included."""
    rows = yaml.safe_load(file.read_text())["topics"]
    dead = {f"{prefix}{row['name']}.dead": 1 for row in rows if row["dead"]}
    return {f"{prefix}{row['name']}": int(row["partitions"]) for row in rows} | dead


def admin_of(bootstrap: str) -> AdminClient:
    """A client without words of its own: what it would say is said here in plain ones."""
    quiet = logging.getLogger("librdkafka.waiting")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    settings: dict[str, str | int | float | bool]
    settings = {"bootstrap.servers": bootstrap, "client.id": "waiting", "reconnect.backoff.max.ms": 1000}
    return AdminClient(settings, logger=quiet)


def missing_topics(admin: AdminClient, bootstrap: str, wanted: dict[str, int], log: str) -> str | None:
    try:
        there = admin.list_topics(timeout=ASK_SECONDS).topics
    except KafkaException as error:
        return silence(bootstrap, str(error.args[0].str()))
    missing = sorted(name for name in wanted if name not in there)
    if missing:
        made = f"the topics Job makes them: {log}"
        return f"the Kafka broker at {bootstrap} answers, topics are missing: {', '.join(missing)}; {made}"
    other = [
        f"{name} has {len(there[name].partitions)} partitions, not {count}"
        for name, count in sorted(wanted.items())
        if len(there[name].partitions) != count
    ]
    if other:
        return f"topics of another shape at {bootstrap}: {'; '.join(other)}; delete them, or use another topic prefix"
    idle = [name for name in sorted(wanted) if any(part.leader < 0 for part in there[name].partitions.values())]
    return f"the broker at {bootstrap} has no leader yet for {', '.join(idle)}" if idle else None


def silence(bootstrap: str, error: str) -> str:
    """Why no broker answers, as far as a connection tells."""
    closed = [f"{each} ({why})" for each in bootstrap.split(",") if (why := refusal(*place(each)))]
    said = ", ".join(closed) or f"{bootstrap} (it takes connections, but does not answer as a broker: {error})"
    return f"no Kafka broker answers at {said}; is it running, is the address right?"


def bootstrap_of(text: str) -> str:
    for each in text.split(","):
        place(each)
    return text


def place(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def closed_doors(places: Sequence[tuple[str, int]]) -> str | None:
    closed = [f"{host}:{port} ({why})" for host, port in places if (why := refusal(host, port))]
    return f"nothing answers at {', '.join(closed)}; is it running, is the address right?" if closed else None


def refusal(host: str, port: int) -> str | None:
    """Why no connection can be opened; None when one can."""
    try:
        socket.create_connection((host, port), ASK_SECONDS).close()
    except socket.gaierror:
        return "no such host"
    except OSError as error:
        return error.strerror or str(error)
    return None


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
