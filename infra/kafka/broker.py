"""A local Kafka broker: one KRaft node on this machine, in a folder of its own."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from infra.daemon import Daemon, port_is_taken
from infra.kafka.jars import JARS, POM, fetch_jars
from libs.runtime.kafka import MAX_RECORD_BYTES

NODE_ID = 1
HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=10", "-XX:TieredStopAtLevel=4")
START_SECONDS = 60.0


class BrokerProblem(Exception):
    """Something that a person has to change before a broker can run here; the message says what."""


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where a broker keeps its data, and its two ports."""

    folder: Path
    port: int
    controller_port: int
    jars: Path = JARS

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"


class Broker:
    """A broker of this process's own: `start`, `stop`, `kill`, and again."""

    def __init__(self, place: BrokerPlace) -> None:
        self.place = place
        self._daemon = Daemon("kafka", broker_argv(place), java_env(), place.log)

    @property
    def bootstrap(self) -> str:
        return self.place.bootstrap

    def start(self, timeout_s: float = START_SECONDS) -> None:
        """Prepare, start, return when it answers. Raises `BrokerProblem`, `JarsMissing` or `DaemonFailed`."""
        prepare(self.place)
        self._daemon.start(lambda: answers(self.bootstrap), timeout_s)

    def is_running(self) -> bool:
        return self._daemon.is_running()

    def check(self) -> None:
        """Raises `DaemonFailed` when the broker has ended by itself."""
        self._daemon.check()

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        self._daemon.kill()


def prepare(place: BrokerPlace) -> None:
    """Fetch the jars, check ports and folder, write the configuration, format a new folder. May be called again."""
    fetch_jars(place.jars)
    check_version(place.folder)
    for port, use in ((place.port, "kafka"), (place.controller_port, "kafka controller")):
        if port_is_taken(port):
            raise BrokerProblem(f"port {port} ({use}) is in use; stop what uses it or choose another port")
    place.properties.write_text(server_properties(place))
    if not (place.folder / "data" / "meta.properties").exists():
        format_folder(place)


def check_version(folder: Path) -> None:
    """Mark a new folder with the broker's version; refuse one that another version wrote, or a stranger's."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / "VERSION"
    wanted = f"kafka {broker_version()}"
    if not marker.exists():
        strangers = sorted(path.name for path in folder.iterdir())
        if strangers:
            raise BrokerProblem(f"{folder} holds {strangers[0]!r} but no VERSION: not a broker's folder; move it away")
        marker.write_text(f"{wanted}\n")
    found = marker.read_text().strip()
    if found != wanted:
        raise BrokerProblem(
            f"{folder} was written by {found!r}, this is {wanted!r}; move it away or `make clean` to forget it"
        )


def broker_version() -> str:
    """The version in pom.xml, the one place that names it."""
    found = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)</version>", POM.read_text())
    if found is None:
        raise BrokerProblem(f"{POM.name} names no kafka_2.13")
    return found.group(1)


def format_folder(place: BrokerPlace) -> None:
    cluster = run_java(place, "kafka.tools.StorageTool", "random-uuid").strip().splitlines()[-1]
    run_java(place, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(place.properties))


def run_java(place: BrokerPlace, main: str, *arguments: str) -> str:
    argv = [java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", *LOGGING, "-cp", f"{place.jars}/*", main, *arguments]
    done = subprocess.run(argv, env=java_env(), capture_output=True, text=True)
    if done.returncode != 0:
        raise BrokerProblem(f"{main} {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


def broker_argv(place: BrokerPlace) -> list[str]:
    """The command line of a prepared broker."""
    return [java(), *HEAP, *LOGGING, "-cp", f"{place.jars}/*", "kafka.Kafka", str(place.properties)]


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    if found is None or not Path(found).exists():
        raise BrokerProblem("Java is missing: sudo apt-get install openjdk-17-jre-headless")
    return found


def java_env() -> dict[str, str]:
    """This environment without options that other Java programs were given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "JAVA_TOOL_"))}


def server_properties(place: BrokerPlace) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{place.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{place.port},CONTROLLER://127.0.0.1:{place.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{place.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": (place.folder / "data").resolve(),
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES + 64 * 1024,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "log.segment.bytes": 128 * 1024 * 1024,
        # After a crash the controller waits this long for the broker that was, before it takes the new one.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "controlled.shutdown.enable": "true",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def answers(bootstrap: str) -> bool:
    """Whether a broker there answers a metadata request within a second."""
    quiet = logging.getLogger("kafka")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)  # a refused connection is the expected answer here
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=1000, request_timeout_ms=1000
        )
        try:
            admin.list_topics()
        finally:
            admin.close()
    except KafkaError:
        return False
    finally:
        quiet.setLevel(level)
    return True
