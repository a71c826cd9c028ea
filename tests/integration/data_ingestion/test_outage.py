"""While the broker is away, ingestion waits and says so; what the venue said meanwhile is in the log once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig
from libs.trading.market import FeedGap, Trade
from tests.builders.processes import ServiceProcess, wait_for
from tests.fakes.scripted_venue import ScriptedVenue
from tests.integration.data_ingestion.topic import Topic

IN_FLIGHT = 50
TRADES = 400


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(BrokerPlace(tmp_path / "broker", free_port(), free_port()))
    broker.start()
    create_topics(broker.bootstrap)
    yield broker
    broker.stop()


def test_a_broker_away_at_the_start_and_in_the_middle_loses_nothing(broker: Broker, tmp_path: Path) -> None:
    kafka = KafkaConfig(broker.bootstrap)
    broker.kill()
    with ScriptedVenue() as venue:
        settings = {
            "HTTP_URL": venue.http_url,
            "STREAM_URL": venue.stream_url,
            "SYMBOLS": "BTCUSDT",
            "MAX_IN_FLIGHT_RECORDS": str(IN_FLIGHT),
        }
        service = ServiceProcess("data_ingestion", kafka, tmp_path / "log", settings)
        service.start()
        try:
            wait_for(
                lambda: "waiting for the broker to acknowledge" in service.said(), 40.0, "it says what it waits for"
            )
            broker.start()
            service.wait_ready()
            venue.trade("0")
            topic = Topic(kafka, "market.events")
            wait_for(lambda: topic.events(Trade), why="the first trade is in the log")
            broker.kill()
            for number in range(1, TRADES):
                venue.trade(str(number))
            wait_for(lambda: "the broker does not acknowledge" in service.said(), why="reading stops")
            broker.start()
            wait_for(lambda: len(topic.events(Trade)) >= TRADES, why="everything arrives")
            assert [trade.trade_id for trade in topic.events(Trade)] == [str(number) for number in range(TRADES)]
            assert len(topic.events(FeedGap)) == 1
            topic.close()
        finally:
            assert service.stop() == 0
