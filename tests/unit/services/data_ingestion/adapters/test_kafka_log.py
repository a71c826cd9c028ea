"""The market log sends in order, says when it is full, counts only what is acknowledged, and remembers refusals."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from libs.runtime import metrics
from libs.runtime.kafka import Headers, Position, SendFailed
from libs.runtime.tracing import HEADER, open_tracer
from libs.trading.market import Channel, FeedGap, SessionClock, Tick
from libs.wire.market import decode_events
from services.data_ingestion.adapters.kafka_log import MAX_BURIED_BYTES, KafkaMarketLog
from tests.builders import market as build
from tests.fakes.collector import Collector

NOW = 1_000_000_000_000  # wall ns at which everything is acknowledged


class SlowProducer:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None, Headers, Future[Position]]] = []

    def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Future[Position]:
        future: Future[Position] = Future()
        self.sent.append((topic, key, value, headers, future))
        return future

    def acknowledge(self, *numbers: int) -> None:
        for number in numbers:
            self.sent[number][4].set_result(Position(0, number))

    def refuse(self, number: int) -> None:
        self.sent[number][4].set_exception(SendFailed("too large"))

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float = 10.0) -> None: ...


@pytest.fixture
def producer() -> SlowProducer:
    return SlowProducer()


def a_log(producer: SlowProducer, records: int = 3, size: int = 10**6, **more: Any) -> KafkaMarketLog:
    return KafkaMarketLog(producer, records, size, wall_ns=lambda: NOW, **more)


def counted(instrument: str) -> float:
    value: float = metrics.counter("data_ingestion_events_total").labels(instrument)._value.get()
    return value


def test_an_opening_gives_its_offset(producer: SlowProducer) -> None:
    opened = a_log(producer).open(build.a_head(), FeedGap(1, Channel.ALL, 0, 0, "start"))
    assert not opened.done()
    producer.acknowledge(0)
    assert opened.result(0) == 0
    topic, key, value, _, _ = producer.sent[0]
    assert (topic, key) == ("market.events", build.INSTRUMENT.encode())
    assert decode_events(value or b"")[1] == [FeedGap(1, Channel.ALL, 0, 0, "start")]


def test_a_refused_opening_fails_with_the_brokers_reason(producer: SlowProducer) -> None:
    opened = a_log(producer).open(build.a_head(), FeedGap(1, Channel.ALL, 0, 0, "start"))
    producer.refuse(0)
    with pytest.raises(SendFailed, match="too large"):
        opened.result(0)


def test_it_is_full_at_the_bound_and_has_room_once_the_oldest_is_acknowledged(producer: SlowProducer) -> None:
    log = a_log(producer, records=3)
    full = []
    for _ in range(4):
        full.append(log.is_full)
        log.append(build.a_head(), [Tick(1)])
    assert full == [False, False, False, True]
    producer.acknowledge(1, 2, 3)
    log.settle()
    assert log.oldest is producer.sent[0][4]
    producer.acknowledge(0)
    log.settle()
    log.append(build.a_head(), [Tick(2)])
    assert log.oldest is producer.sent[4][4]


def test_bytes_are_bounded_too(producer: SlowProducer) -> None:
    log = a_log(producer, size=50)
    log.append(build.a_head(), [build.a_book()])
    assert log.is_full


def test_only_what_is_acknowledged_is_counted_and_shown(producer: SlowProducer) -> None:
    shown: list[tuple[str, bytes]] = []
    log = a_log(producer, on_acknowledged=lambda instrument, value: shown.append((instrument, value)))
    head = build.a_head(instrument="a.b.counted")
    log.append(head, [Tick(1), Tick(2)])
    log.append(head, [Tick(3)])
    before = counted("a.b.counted")
    producer.acknowledge(0)
    log.settle()
    assert counted("a.b.counted") - before == 2
    assert [(instrument, decode_events(value)[1]) for instrument, value in shown] == [
        ("a.b.counted", [Tick(1), Tick(2)])
    ]


def test_a_refusal_is_told_once(producer: SlowProducer) -> None:
    log = a_log(producer)
    log.append(build.a_head(), [Tick(1)])
    producer.refuse(0)
    log.settle()
    assert log.take_refusal("other") is None
    assert log.take_refusal(build.INSTRUMENT) == "too large"
    assert log.take_refusal(build.INSTRUMENT) is None


def waits() -> tuple[int, float]:
    """How many frames were measured until the broker had them, and the sum of their seconds."""
    [measured] = metrics.histogram("data_ingestion_frame_to_kafka_seconds").collect()
    found = {sample.name.rsplit("_", 1)[1]: sample.value for sample in measured.samples}
    return int(found["count"]), found["sum"]


def test_the_way_of_a_frame_into_kafka_is_measured_in_wall_time(producer: SlowProducer) -> None:
    log, (count, seconds) = a_log(producer), waits()
    clock = SessionClock(wall_anchor_ns=50, session_anchor_ns=1_000_050, rate=1.0)
    log.append(build.a_head(clock=clock, received_time=NOW + 1_000_000 - 2_000_000), [Tick(1)])
    assert waits() == (count, seconds)
    producer.acknowledge(0)
    assert waits()[0] == count + 1
    assert waits()[1] == pytest.approx(seconds + 0.002)


@pytest.mark.parametrize("refused", [True, False])
def test_what_was_refused_or_played_fast_is_not_measured(producer: SlowProducer, refused: bool) -> None:
    log, before = a_log(producer), waits()
    log.append(build.a_head(clock=SessionClock(0, 0, float(refused))), [Tick(1)])
    if refused:
        producer.refuse(0)
    else:
        producer.acknowledge(0)
    assert waits() == before


def test_a_buried_frame_keeps_its_bytes_and_has_the_reason(producer: SlowProducer) -> None:
    a_log(producer).bury(build.INSTRUMENT, b"{" + bytes(MAX_BURIED_BYTES), "cut short")
    topic, key, value, headers, _ = producer.sent[0]
    assert (topic, key) == ("market.events.dead", build.INSTRUMENT.encode())
    assert value == b"{" + bytes(MAX_BURIED_BYTES - 1)
    assert list(headers) == [("reason", b"cut short")]


def test_a_backfill_goes_to_its_own_topic(producer: SlowProducer) -> None:
    sent = a_log(producer).backfill(build.a_head(), [Tick(1)])
    producer.acknowledge(0)
    assert sent.result(0) == 0
    assert producer.sent[0][0] == "market.backfill"


def test_every_market_record_says_which_message_it_is_and_a_buried_frame_does_not(producer: SlowProducer) -> None:
    log = a_log(producer)
    log.open(build.a_head(), FeedGap(1, Channel.ALL, 0, 0, "start"))
    log.append(build.a_head(), [Tick(1)])
    log.backfill(build.a_head(), [Tick(1)])
    log.bury("i.j.k", b"frame", "why")
    payload = ("payload", b"market.v1.MarketEvents")
    assert [list(headers) for _, _, _, headers, _ in producer.sent] == [*[[payload]] * 3, [("reason", b"why")]]


def test_only_a_sampled_record_carries_a_trace_and_its_bytes_are_the_same(producer: SlowProducer) -> None:
    collector = Collector()
    collector.start()
    head, tick = build.a_head(clock=SessionClock(0, 0, 1.0), received_time=NOW - 5_000), build.a_trade()
    a_log(producer).append(head, [tick])
    tracer = open_tracer("data_ingestion", collector.address, 1.0)
    a_log(producer, tracer=tracer).append(head, [tick])
    (_, _, plain, without, _), (_, _, traced, headers, _) = producer.sent
    assert plain == traced
    assert [name for name, _ in without] == ["payload"]
    assert [name for name, _ in headers] == ["payload", HEADER]
    producer.acknowledge(0, 1)
    tracer.close()
    collector.stop()
    [span] = collector.spans
    assert (span.name, span.start, span.end) == ("ingest", NOW - 5_000, NOW)
    assert span.attributes["instrument"] == build.INSTRUMENT


def test_the_newest_event_of_the_venue_has_a_time_and_our_own_ticks_have_none(producer: SlowProducer) -> None:
    newest = metrics.gauge("data_ingestion_last_event_timestamp_seconds")
    log, quiet, loud = a_log(producer), "sim.linear.QUIET", "sim.linear.LOUD"
    log.append(build.a_head(instrument=quiet), [Tick(1)])
    log.append(build.a_head(instrument=loud), [build.a_trade()])
    producer.acknowledge(0, 1)
    log.settle()
    assert newest.labels(loud)._value.get() == NOW / 1e9
    assert newest.labels(quiet)._value.get() == 0
