"""Where the accounts of one history lie on a cluster: topics, journal, venue and archive, each reached from outside."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from infra.daemon import free_port
from infra.demo.source import Session, Source
from libs.runtime.kafka import KafkaConfig, Record, open_consumer
from tests.builders.topics import read_topic
from tests.cluster.cluster import Cluster
from tests.cluster.commands import CommandFailed
from tests.cluster.forward import Forward
from tests.cluster.waiting import insisted
from tests.e2e.audit import Venue, marked_topics

Offsets = dict[tuple[str, int], int]  # the next offset by topic and partition
OPENS_S = 5.0  # a new forward to a pod that is there
COPIED_S = 180.0  # the archive's files
JOURNAL_USER, JOURNAL_NAME = "platform", "journal"


class PostgresJournal:
    """The router's journal, read by its own connection; every question is a look at this moment."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address

    def execute(self, query: str, /) -> list[Any]:
        with psycopg.connect(self._address(), connect_timeout=5, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def count(self, table: str) -> int:
        return int(self.execute(f"select count(*) from {table}")[0][0])


class Accounts:
    """Reads everything through port-forwards; `broker_port` is the one that the broker announces as localhost."""

    def __init__(self, cluster: Cluster, topic_prefix: str, broker_port: int) -> None:
        self._cluster = cluster
        self._ways: dict[tuple[str, int], Forward] = {}
        self._broker_port = broker_port
        self.kafka = KafkaConfig(f"localhost:{broker_port}", "confluent", topic_prefix)
        self.journal = PostgresJournal(self._journal_address)
        self._folder = tempfile.TemporaryDirectory(prefix="cluster-test-")

    def close(self) -> None:
        for way in self._ways.values():
            way.close()
        self._folder.cleanup()

    # --- ways in

    def reach(self, component: str, remote: int, local: int = 0) -> str:
        """host:port of this machine (0: a free one) that leads to a component's port, whichever pod it has."""
        if (component, remote) not in self._ways:
            target = f"svc/{self._cluster.release}-{component}"
            self._ways[component, remote] = Forward(self._cluster.namespace, target, local or free_port(), remote)
        way = self._ways[component, remote]
        way.opened(OPENS_S)
        return way.address

    def reach_broker(self) -> KafkaConfig:
        """The broker's listener that announces itself as localhost."""
        self.reach("kafka", self._broker_port, self._broker_port)
        return self.kafka

    def _journal_address(self) -> str:
        secret = self._cluster.secret(f"{self._cluster.release}-postgres")
        host, port = self.reach("postgres", 5432).split(":")
        password = secret["password"].decode()
        return psycopg.conninfo.make_conninfo(
            host=host, port=port, user=JOURNAL_USER, dbname=JOURNAL_NAME, password=password
        )

    @property
    def source(self) -> Source:
        return Source(f"http://{self.reach('exchange-simulator', 8080)}")

    def session(self) -> Session:
        """What the simulator plays now."""
        return insisted("the venue's session", lambda: self.source.sessions()[0])

    def venue(self) -> Venue:
        """The account as the venue tells it."""
        key = Path(self._folder.name) / "key.json"
        key.touch(mode=0o600)
        key.write_bytes(self._cluster.secret(f"{self._cluster.release}-venue-key")["key.json"])
        insisted("the venue", self.source.sessions)
        return Venue(f"http://{self.reach('exchange-simulator', 8080)}", key)

    # --- the log

    def ends(self) -> Offsets:
        """The next offset of every partition of every archived topic."""
        consumer = open_consumer(self.reach_broker(), "audit")
        try:
            return {
                (row["name"], part.partition): end
                for row in marked_topics()
                for part, end in consumer.end_offsets(consumer.partitions_for(row["name"])).items()
            }
        finally:
            consumer.close()

    def topic(self, name: str) -> list[Record]:
        """Every record of a topic that is there now."""
        return read_topic(self.reach_broker(), name)

    # --- the archive

    def archived(self) -> Offsets:
        """How far the archive has come, as it says itself."""
        pod = self._cluster.pod("archive")
        said = self._cluster.kubectl("exec", pod.name, "-c", "archive", "--", "cat", "/archive/progress.json")
        return {(row["topic"], row["partition"]): row["next_offset"] for row in json.loads(said)["partitions"]}

    def archive_copy(self) -> Path:
        """The archive's files as they are now, copied here."""
        pod = self._cluster.pod("archive")
        argv = ["kubectl", "-n", self._cluster.namespace, "exec", pod.name, "-c", "archive", "--"]
        argv += ["tar", "-cf", "-", "-C", "/archive", "."]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=COPIED_S)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(argv, f"not within {COPIED_S:.0f} s") from error
        if done.returncode != 0:
            raise CommandFailed(argv, done.stderr.decode(errors="replace"))
        place = Path(tempfile.mkdtemp(dir=self._folder.name))
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
            packed.extractall(place, filter="data")
        return place


def behind(offsets: Mapping[tuple[str, int], int], ends: Offsets) -> list[str]:
    """Which partitions someone who came to `offsets` has still to read until `ends`."""
    return [
        f"{topic}-{partition} is at {offsets.get((topic, partition), 0)} of {end}"
        for (topic, partition), end in sorted(ends.items())
        if offsets.get((topic, partition), 0) < end
    ]
