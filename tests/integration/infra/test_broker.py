"""The local broker: a clean start and stop, and a clear word for everything that a person has to change."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.daemon import DaemonFailed, free_port
from infra.kafka.broker import Broker, BrokerPlace, answers, broker_version, prepare
from infra.kafka.jars import fetch_jars
from infra.kafka.topics import TopicsProblem, create_topics
from infra.maven import MavenProblem
from infra.place import ServerProblem

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> BrokerPlace:
    return BrokerPlace(tmp_path / "broker", free_port(), free_port())


@pytest.fixture
def broker(place: BrokerPlace) -> Iterator[Broker]:
    broker = Broker(place)
    yield broker
    broker.stop()


def test_a_stopped_broker_goes_on_with_its_topics_also_on_other_ports(broker: Broker, place: BrokerPlace) -> None:
    broker.start()
    broker.check()
    created = create_topics(broker.bootstrap, "a.")
    assert "a.market.events.dead" in created
    broker.stop()
    assert not answers(place.bootstrap)
    moved = Broker(BrokerPlace(place.folder, free_port(), free_port()))
    moved.start()
    try:
        assert create_topics(moved.bootstrap, "a.") == []
    finally:
        moved.stop()


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(broker: Broker, place: BrokerPlace) -> None:
    prepare(place)
    (place.folder / "data" / "meta.properties").write_text("cluster.id=somebody-else\nversion=1\nnode.id=99\n")
    with pytest.raises(DaemonFailed, match=r"(?s)kafka ended with exit code 1.*node.id"):
        broker.start()


def test_a_folder_of_another_version_is_refused(place: BrokerPlace) -> None:
    place.folder.mkdir()
    (place.folder / "VERSION").write_text("kafka 3.9.0\n")
    with pytest.raises(ServerProblem, match=rf"written by 'kafka 3\.9\.0', this is 'kafka {broker_version()}'"):
        prepare(place)


def test_a_stranger_s_folder_is_refused(place: BrokerPlace) -> None:
    place.folder.mkdir()
    (place.folder / "holiday.jpg").touch()
    with pytest.raises(ServerProblem, match=r"holiday\.jpg"):
        prepare(place)


@pytest.mark.parametrize("use", ["port", "controller_port"])
def test_a_port_in_use_is_named(place: BrokerPlace, use: str) -> None:
    port = getattr(place, use)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(ServerProblem, match=f"port {port} .* is in use"):
            prepare(place)


def test_jars_are_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_jars()
    monkeypatch.setenv("PATH", "")
    assert fetch_jars() == folder


def test_missing_maven_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MavenProblem, match="apt-get install maven"):
        fetch_jars(tmp_path / "jars")


def test_missing_java_is_named_with_its_line(place: BrokerPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServerProblem, match="apt-get install openjdk"):
        Broker(place)


def test_topics_on_a_broker_that_is_not_there_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.kafka.topics.BROKER_SECONDS", 1.0)
    with pytest.raises(TopicsProblem, match="no Kafka broker answers at"):
        create_topics(f"127.0.0.1:{free_port()}")


def test_serve_becomes_the_broker_and_leaves_on_sigterm(place: BrokerPlace) -> None:
    argv = [sys.executable, "-m", "infra.kafka", "serve", "--folder", str(place.folder)]
    argv += ["--port", str(place.port), "--controller-port", str(place.controller_port)]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(place.bootstrap):
            assert process.poll() is None
        process.terminate()
        assert process.wait(20) == 143
    finally:
        process.kill()
        process.wait()


def test_serve_says_in_one_line_what_is_wrong(place: BrokerPlace) -> None:
    place.folder.mkdir()
    (place.folder / "VERSION").write_text("kafka 3.9.0\n")
    argv = [sys.executable, "-m", "infra.kafka", "serve", "--folder", str(place.folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "kafka 3.9.0" in done.stderr
    shutil.rmtree(place.folder)
