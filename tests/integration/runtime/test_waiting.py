"""The wait before a service starts: a real broker, with and without topics, then none at all, in plain words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from infra.daemon import free_port
from infra.kafka.topics import TOPICS_FILE, Topic, create_topics
from libs.runtime import waiting
from libs.runtime.kafka import KafkaConfig

ROOT = Path(__file__).parents[3]
FILE = ["--topics-file", str(TOPICS_FILE)]


def wait(*arguments: str, seconds: float = 100.0) -> tuple[int, list[str]]:
    """The exit code of a process of its own and every line that it said."""
    command = [sys.executable, "-m", "libs.runtime.waiting", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def topics(config: KafkaConfig, *more: str, patience: str = "60") -> tuple[int, list[str]]:
    place = ["--bootstrap", config.bootstrap, "--prefix", config.topic_prefix, "--patience", patience]
    return wait("topics", *place, *FILE, *more)


def test_it_ends_at_once_when_every_topic_is_there(kafka_prefix: KafkaConfig) -> None:
    code, said = topics(kafka_prefix)
    assert code == 0
    assert len(said) == 1
    assert said[-1].startswith("all is there")


def test_topics_that_come_while_it_waits_are_enough(kafka: KafkaConfig) -> None:
    prefix = f"test-{uuid.uuid4().hex[:10]}."
    command = [sys.executable, "-m", "libs.runtime.waiting", "topics", "--bootstrap", kafka.bootstrap, *FILE]
    with subprocess.Popen([*command, "--prefix", prefix], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "topics are missing" in process.stdout.readline()
        create_topics(kafka.bootstrap, prefix)
        said = process.stdout.readlines()
    assert process.returncode == 0
    assert said[-1].startswith("all is there")


def test_missing_topics_are_named_with_the_log_of_the_job_that_makes_them(kafka: KafkaConfig) -> None:
    config = KafkaConfig(kafka.bootstrap, topic_prefix=f"test-{uuid.uuid4().hex[:10]}.")
    create_topics(config.bootstrap, config.topic_prefix, topics=[Topic("market.events", 4, ())])
    code, said = topics(config, "--log", "kubectl logs -l app.kubernetes.io/component=topics", patience="1")
    assert code == 1
    assert f"the Kafka broker at {kafka.bootstrap} answers, topics are missing: " in said[-1]
    assert f"{config.topic_prefix}predictions" in said[-1]
    assert f"{config.topic_prefix}market.events.dead" in said[-1]
    assert f"{config.topic_prefix}market.events," not in said[-1]
    assert said[-1].endswith("the topics Job makes them: kubectl logs -l app.kubernetes.io/component=topics")


def test_a_topic_with_other_partitions_is_not_the_one_that_is_waited_for(kafka: KafkaConfig) -> None:
    config = KafkaConfig(kafka.bootstrap, topic_prefix=f"test-{uuid.uuid4().hex[:10]}.")
    there = [Topic("predictions", 1, ()), Topic("market.events", 4, ())]
    create_topics(config.bootstrap, config.topic_prefix, topics=there)
    all_of_them = waiting.wanted_topics(TOPICS_FILE, config.topic_prefix)
    wanted = {config.own(topic.name): all_of_them[config.own(topic.name)] for topic in there}
    said = waiting.missing_topics(waiting.admin_of(config.bootstrap), config.bootstrap, wanted, "")
    assert said is not None
    assert f"{config.own('predictions')} has 1 partitions, not 4" in said
    assert "market.events" not in said


def test_no_broker_is_said_with_its_address_and_why() -> None:
    port = free_port()
    code, said = topics(KafkaConfig(f"127.0.0.1:{port},no-such-broker.invalid:9092"), patience="0.5")
    assert code == 1
    assert f"127.0.0.1:{port} (Connection refused)" in said[-1]
    assert "no-such-broker.invalid:9092 (no such host)" in said[-1]


def test_something_else_on_the_port_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        code, said = topics(KafkaConfig(f"127.0.0.1:{stranger.getsockname()[1]}"), patience="0.5")
    assert code == 1
    assert "takes connections, but does not answer as a broker" in said[-1]


def test_a_list_of_topics_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, said = wait("topics", "--bootstrap", "127.0.0.1:1", "--topics-file", str(tmp_path / "topics.yaml"))
    assert code == 1
    assert "--topics-file" in said[-1]


@pytest.mark.parametrize("text", ["kafka", "kafka:", ":9092", "kafka:99999", "kafka:x"])
def test_an_address_without_a_port_is_refused_before_any_waiting(text: str) -> None:
    with pytest.raises(SystemExit):
        waiting.main(["topics", "--bootstrap", text, *FILE])


def test_an_open_door_is_enough_for_tcp_and_a_closed_one_is_named() -> None:
    closed = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = server.getsockname()[1]
        assert wait("tcp", f"127.0.0.1:{opened}")[0] == 0
        code, said = wait("tcp", f"127.0.0.1:{opened}", f"127.0.0.1:{closed}", "--patience", "0.5")
    assert code == 1
    assert f"127.0.0.1:{closed} (Connection refused)" in said[-1]
    assert str(opened) not in said[-1]


def test_a_pod_that_is_deleted_while_it_waits_ends_at_once() -> None:
    command = [sys.executable, "-m", "libs.runtime.waiting", "tcp", f"127.0.0.1:{free_port()}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"waiting")
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 20
