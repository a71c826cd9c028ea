"""The market log on Kafka: sends in order, bounds what is unacknowledged, counts what the broker has."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from libs.runtime import metrics
from libs.runtime.kafka import Position, Producer
from libs.runtime.logs import get_logger
from libs.runtime.tracing import OFF, Hop, Tracer
from libs.trading.market import FeedGap, MarketEvent, RecordHead, SessionEnd, Tick
from libs.wire.market import encode_events
from libs.wire.payload import payload_header

EVENTS = "market.events"
BACKFILL = "market.backfill"
DEAD = "market.events.dead"
SETTLE_AT = 128
OUR_OWN = (FeedGap, SessionEnd, Tick)  # what is written although no venue said it
MAX_BURIED_BYTES = 512 * 1024  # of one frame; a longer one is cut

log = get_logger("market_log")


@dataclass(frozen=True, slots=True)
class Flying:
    """A record that was sent and is not acknowledged yet."""

    future: Future[Position]
    instrument: str
    events: int
    value: bytes
    from_venue: bool


class KafkaMarketLog:
    """One thread sends and settles; `on_acknowledged` gets the bytes of each record that the broker has."""

    def __init__(
        self,
        producer: Producer,
        max_records: int,
        max_bytes: int,
        on_acknowledged: Callable[[str, bytes], None] = lambda instrument, value: None,
        *,
        wall_ns: Callable[[], int],
        tracer: Tracer = OFF,
    ) -> None:
        self._producer = producer
        self._tracer = tracer
        self._max_records, self._max_bytes = max_records, max_bytes
        self._on_acknowledged = on_acknowledged
        self._wall_ns = wall_ns
        self._flying: deque[Flying] = deque()
        self._bytes = 0
        self._refusals: dict[str, str] = {}
        self._events = metrics.counter("data_ingestion_events_total")
        self._last_event = metrics.gauge("data_ingestion_last_event_timestamp_seconds")
        self._in_flight = metrics.gauge("data_ingestion_in_flight_records")
        self._to_kafka = metrics.histogram("data_ingestion_frame_to_kafka_seconds")

    def open(self, head: RecordHead, gap: FeedGap) -> Future[int]:
        offset: Future[int] = Future()

        def hand_on(done: Future[Position]) -> None:
            error = done.exception()
            if error is not None:
                offset.set_exception(error)
            else:
                offset.set_result(done.result().offset)

        self._send(EVENTS, head, [gap]).add_done_callback(hand_on)
        return offset

    def append(self, head: RecordHead, events: Sequence[MarketEvent]) -> None:
        hop = self._begin(head) if self._tracer.samples() else None
        sent = self._send(EVENTS, head, events, () if hop is None else (hop.header,))
        if hop is not None:
            sent.add_done_callback(partial(self._end, hop, head, len(events), self._wall_ns()))
        if head.clock.rate == 1.0:  # a clock that stands does not say when a frame came
            sent.add_done_callback(partial(self._measure, head))

    def _measure(self, head: RecordHead, done: Future[Position]) -> None:
        if done.exception() is None:
            waited = head.clock.session_time(self._wall_ns()) - head.received_time
            self._to_kafka.observe(waited / 1e9)

    def _begin(self, head: RecordHead) -> Hop:
        """A trace that begins when the frame came, as far as the session's clock tells."""
        now, clock = self._wall_ns(), head.clock
        waited = (clock.session_time(now) - head.received_time) / clock.rate if clock.rate > 0 else 0
        return self._tracer.hop("ingest", now - int(waited), "PRODUCER")

    def _end(self, hop: Hop, head: RecordHead, events: int, handed_over: int, done: Future[Position]) -> None:
        now, error = self._wall_ns(), done.exception()
        if error is not None:
            hop.fail(str(error))
        hop.end(
            now,
            instrument=head.instrument,
            session=head.session,
            epoch=head.epoch,
            seq=head.seq,
            events=events,
            acknowledge_ms=(now - handed_over) / 1e6,
        )

    def backfill(self, head: RecordHead, events: Sequence[MarketEvent]) -> Future[int]:
        """May come from any thread."""
        value = encode_events(head, events)
        sent = self._producer.send(
            BACKFILL, key=head.instrument.encode(), value=value, headers=[payload_header(BACKFILL)]
        )
        offset: Future[int] = Future()
        sent.add_done_callback(
            lambda done: (
                offset.set_exception(error) if (error := done.exception()) else offset.set_result(done.result().offset)
            )
        )
        return offset

    def bury(self, instrument: str, frame: bytes, reason: str) -> None:
        log.warning("a frame is of no use", instrument=instrument, reason=reason, bytes=len(frame))
        sent = self._producer.send(
            DEAD, key=instrument.encode(), value=frame[:MAX_BURIED_BYTES], headers=[("reason", reason.encode())]
        )
        sent.add_done_callback(_report_lost_burial)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before something is acknowledged."""
        return len(self._flying) >= self._max_records or self._bytes >= self._max_bytes

    @property
    def oldest(self) -> Future[Position] | None:
        return self._flying[0].future if self._flying else None

    def settle(self) -> None:
        """Take out what was acknowledged or refused, oldest first."""
        flying, events, heard = self._flying, Counter[str](), set[str]()
        while flying and flying[0].future.done():
            done = flying.popleft()
            self._bytes -= len(done.value)
            error = done.future.exception()
            if error is not None:
                self._refusals[done.instrument] = str(error)
                log.error("the broker refused a record", instrument=done.instrument, reason=str(error))
                continue
            events[done.instrument] += done.events
            if done.from_venue:
                heard.add(done.instrument)
            self._on_acknowledged(done.instrument, done.value)
        for instrument, number in events.items():
            self._events.labels(instrument).inc(number)
        for instrument in heard:
            self._last_event.labels(instrument).set(self._wall_ns() / 1e9)
        self._in_flight.set(len(flying))

    def settle_many(self) -> None:
        """As `settle`, when enough is under way to be worth it; the caller settles from time to time anyway."""
        if len(self._flying) >= SETTLE_AT:
            self.settle()

    def take_refusal(self, instrument: str) -> str | None:
        """Why the broker refused a record of this instrument since the last question, if it did."""
        return self._refusals.pop(instrument, None)

    def close(self) -> None:
        """Wait for what is under way; ten seconds at most."""
        self._producer.close(10.0)
        self.settle()
        if self._flying:
            log.error("records were not acknowledged before the end", records=len(self._flying))

    def _send(
        self, topic: str, head: RecordHead, events: Sequence[MarketEvent], more: Sequence[tuple[str, bytes]] = ()
    ) -> Future[Position]:
        key, value, headers = head.instrument.encode(), encode_events(head, events), (payload_header(topic), *more)
        future = self._producer.send(topic, key=key, value=value, headers=headers)
        self._flying.append(Flying(future, head.instrument, len(events), value, not isinstance(events[0], OUR_OWN)))
        self._bytes += len(value)
        return future


def _report_lost_burial(done: Future[Position]) -> None:
    if done.exception() is not None:
        log.error("a frame of no use could not even be buried", reason=str(done.exception()))
