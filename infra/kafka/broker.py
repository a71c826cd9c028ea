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

from infra.daemon import Daemon
from infra.kafka.jars import JARS, POM, fetch_jars
from infra.place import ServerProblem, check_port, check_version
from libs.runtime.kafka import MAX_RECORD_BYTES

NODE_ID = 1
HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=10", "-XX:TieredStopAtLevel=4")
START_SECONDS = 180.0


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


class Broker(Daemon):
    """A broker of this process's own. Its `start` raises `ServerProblem`, `MavenProblem` or `DaemonFailed`."""

    def __init__(self, place: BrokerPlace) -> None:
        self.place = place
        super().__init__(
            "kafka", broker_argv(place), java_env(), place.log, lambda: answers(place.bootstrap), START_SECONDS
        )

    @property
    def bootstrap(self) -> str:
        return self.place.bootstrap

    def start(self) -> None:
        prepare(self.place)
        super().start()


def prepare(place: BrokerPlace) -> None:
    """Fetch the jars, check ports and folder, write the configuration, format a new folder. May be called again."""
    fetch_jars(place.jars)
    check_version(place.folder, "kafka", broker_version())
    check_port(place.port, "kafka")
    check_port(place.controller_port, "kafka controller")
    place.properties.write_text(server_properties(place))
    if not (place.folder / "data" / "meta.properties").exists():
        format_folder(place)


def broker_version() -> str:
    """The version in pom.xml, the one place that names it."""
    found = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)</version>", POM.read_text())
    if found is None:
        raise ServerProblem(f"{POM.name} names no kafka_2.13")
    return found.group(1)


def format_folder(place: BrokerPlace) -> None:
    cluster = run_java(place, "kafka.tools.StorageTool", "random-uuid").strip().splitlines()[-1]
    run_java(place, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(place.properties))


def run_java(place: BrokerPlace, main: str, *arguments: str) -> str:
    argv = [java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", *LOGGING, "-cp", f"{place.jars}/*", main, *arguments]
    done = subprocess.run(argv, env=java_env(), capture_output=True, text=True)
    if done.returncode != 0:
        raise ServerProblem(f"{main} {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


def broker_argv(place: BrokerPlace) -> list[str]:
    """The command line of a prepared broker."""
    return [java(), *HEAP, *LOGGING, "-cp", f"{place.jars}/*", "kafka.Kafka", str(place.properties)]


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    if found is None or not Path(found).exists():
        raise ServerProblem("Java is missing: sudo apt-get install openjdk-17-jre-headless")
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
