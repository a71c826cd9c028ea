"""Fixtures that every room of the tests shares: a real broker, MLflow and PostgreSQL, the recorded data."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from infra.mlflow.server import MlflowPlace, MlflowServer
from libs.runtime.kafka import KafkaConfig
from tests.builders.postgres import Databases, databases

DATA_SETTING = "TRADING_TEST_DATA"
BROKER_SETTING = "TRADING_TEST_KAFKA"
ROOT = Path(__file__).parents[1]
WITH_REAL_PARTS = ("e2e", "contract", "integration")
# Tests with real parts mostly wait: three processes of them run beside one of quick tests. A lane has one broker, and
# what else it needs, for all its tests; each test has a topic prefix, a database, a bucket of its own.
LANES = ("e2e", "orders", "models")
SAID_LINES = 40  # of each log, behind a failure
# What the lane "orders" has; the last lane has the others.
ORDERS = ("contract", "order_routing", "exchange_simulator", "data_ingestion", "archive", "wire")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a run of several processes lanes begin first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(lane_of(item.path.relative_to(ROOT))))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each lane is one process's, quick tests go file by file: with `--dist loadscope`."""
    if config.getoption("dist") != "loadscope":
        return None
    scheduling: Any = LoadScopeScheduling(config, log)
    scheduling._split_scope = lambda nodeid: lane_of(Path(nodeid.partition("::")[0]))
    return scheduling


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the last words of every process that logged into its folder."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        for log in sorted({*folder.rglob("*.log"), *folder.rglob("log")}):
            if log.is_file() and not log.stem.isdigit():  # as Kafka names its segments
                said = log.read_text(errors="replace").splitlines()[-SAID_LINES:]
                report.sections.append((f"last lines of {log.relative_to(folder)}", "\n".join(said)))
    return report


def rank(lane: str) -> int:
    return LANES.index(lane) if lane in LANES else len(LANES)


def lane_of(path: Path) -> str:
    """Which process a test file runs in; one without real parts has none of its own."""
    _, kind, *rest = path.parts
    if kind not in WITH_REAL_PARTS:
        return path.as_posix()
    return "e2e" if kind == "e2e" else "orders" if {kind, *rest} & set(ORDERS) else "models"


def recorded_data() -> Path:
    """Where the recorded market data should be: TRADING_TEST_DATA, or beside this checkout."""
    return Path(os.environ.get(DATA_SETTING) or ROOT / ".." / "shared" / "data")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConfig]:
    """A real broker for the whole run: this run's own, or the one that TRADING_TEST_KAFKA names (HOST:PORT)."""
    named = os.environ.get(BROKER_SETTING)
    if named:
        yield KafkaConfig(named)
        return
    broker = Broker(BrokerPlace(tmp_path_factory.mktemp("kafka") / "broker", free_port(), free_port()))
    broker.start()
    try:
        yield KafkaConfig(broker.bootstrap)
    finally:
        broker.stop()


@pytest.fixture
def kafka_prefix(kafka: KafkaConfig) -> KafkaConfig:
    """The broker under a topic prefix of this test's own, with every topic of protos/topics.yaml."""
    config = replace(kafka, topic_prefix=f"test-{uuid.uuid4().hex[:10]}.")
    create_topics(config.bootstrap, config.topic_prefix)
    return config


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server of this run's own."""
    server = MlflowServer(MlflowPlace(tmp_path_factory.mktemp("mlflow") / "server", free_port()))
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """A real PostgreSQL server for the whole run, on which a test makes databases of its own."""
    with databases() as found:
        yield found


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The recorded market data. Without it the test is left out; with CI=true that is a failure."""
    folder = recorded_data()
    if not folder.is_dir():
        message = f"no recorded data at {folder} ({DATA_SETTING})"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder.resolve()
