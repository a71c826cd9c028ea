"""Whatever the venue's connection does, the log is a chain of marked epochs and nothing is invented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from libs.runtime.kafka import KafkaConfig
from libs.trading.market import BookUpdate, Channel, FeedGap, Provenance, SessionEnd, Tick, Trade
from protos.ingestion.v1 import ingestion_pb2 as pb
from protos.ingestion.v1 import ingestion_pb2_grpc
from tests.builders.processes import ServiceProcess, wait_for
from tests.fakes.scripted_venue import BOOK, ScriptedVenue, now_ms
from tests.integration.data_ingestion.topic import Topic

INSTRUMENT = "sim.linear.BTCUSDT"


@pytest.fixture
def venue() -> Iterator[ScriptedVenue]:
    with ScriptedVenue() as venue:
        yield venue


@pytest.fixture
def service(kafka_prefix: KafkaConfig, venue: ScriptedVenue, tmp_path: Path) -> Iterator[ServiceProcess]:
    settings = {"HTTP_URL": venue.http_url, "STREAM_URL": venue.stream_url, "SYMBOLS": "BTCUSDT"}
    service = ServiceProcess("data_ingestion", kafka_prefix, tmp_path / "log", settings)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture
def topic(kafka_prefix: KafkaConfig) -> Iterator[Topic]:
    topic = Topic(kafka_prefix, "market.events")
    yield topic
    topic.close()


def stub(service: ServiceProcess) -> ingestion_pb2_grpc.DataIngestionServiceStub:
    assert service.channel is not None
    return ingestion_pb2_grpc.DataIngestionServiceStub(service.channel)


def status(service: ServiceProcess) -> pb.FeedStatus:
    [feed] = stub(service).ListFeeds(pb.ListFeedsRequest(), timeout=5.0).feeds
    return feed


def streaming(service: ServiceProcess) -> None:
    service.wait_ready()
    wait_for(lambda: status(service).state == pb.FEED_STATE_STREAMING, why="the feed streams")


def check_chain(topic: Topic) -> None:
    """Numbers rise by one within an epoch, epochs are their gaps' offsets, book ids chain."""
    epoch, seq, last = -1, 0, None
    for offset, head, events in topic.market():
        if isinstance(events[0], FeedGap):
            assert (head.epoch, head.seq) == (0, 0)
            epoch, seq = offset, 0
            last = None if events[0].channel in (Channel.ALL, Channel.BOOK) else last
            continue
        assert (head.epoch, head.seq) == (epoch, seq)
        seq += 1
        for event in events:
            if isinstance(event, BookUpdate):
                assert event.snapshot if last is None else event.update_id == last + 1
                last = event.update_id


def test_drop_jump_garbage_and_quiet(venue: ScriptedVenue, service: ServiceProcess, topic: Topic) -> None:
    streaming(service)
    for number in range(5):
        venue.book()
        venue.trade(f"a{number}")
    before_drop = venue.update_id
    venue.drop()
    wait_for(lambda: status(service).gaps == 2, why="a reconnect opens an epoch")
    streaming(service)
    venue.book(step=3)
    wait_for(lambda: venue.subscriptions.count(BOOK) == 3, why="a jump asks for a snapshot")
    streaming(service)
    venue.send(b'{"topic":"publicTrade.BTCUSDT","data":[{"p":')
    venue.send({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": now_ms(), "data": [{"p": "x"}]})
    venue.trade("after garbage")
    venue.trade("ahead", at_ms=now_ms() + 60_000)
    wait_for(lambda: status(service).quarantined == 1, why="a trade from the future is quarantined")
    wait_for(lambda: len(topic.events(Tick)) >= 2, why="quiet makes ticks")

    assert service.process is not None
    assert service.process.poll() is None
    check_chain(topic)
    gaps = topic.events(FeedGap)
    assert [gap.channel for gap in gaps[:3]] == [Channel.ALL, Channel.ALL, Channel.BOOK]
    assert gaps[0].reason == "start of ingestion"
    assert gaps[1].reason.startswith("connection lost")
    assert (gaps[1].from_update_id, gaps[2].from_update_id, gaps[2].to_update_id) == (
        before_drop,
        before_drop,
        before_drop + 3,
    )
    assert [trade.trade_id for trade in topic.events(Trade)] == [*(f"a{n}" for n in range(5)), "after garbage"]
    heads = [head for _, head, _ in topic.market()]
    assert {(head.session, head.provenance) for head in heads} == {("scripted-1", Provenance.SIMULATED)}


def test_frames_of_no_use_are_on_the_dead_topic_with_the_reason(
    venue: ScriptedVenue, service: ServiceProcess, kafka_prefix: KafkaConfig
) -> None:
    streaming(service)
    venue.send(b"\x00 not json")
    dead = Topic(kafka_prefix, "market.events.dead")
    [record] = wait_for(lambda: dead.read() or None)
    assert record.value == b"\x00 not json"
    assert dict(record.headers)["reason"].startswith(b"not a frame")
    streaming(service)
    dead.close()


def test_a_killed_ingestion_goes_on_in_the_session_with_a_new_epoch(
    venue: ScriptedVenue, service: ServiceProcess, topic: Topic
) -> None:
    streaming(service)
    venue.trade("before")
    wait_for(lambda: topic.events(Trade))
    service.kill()
    service.start()
    streaming(service)
    venue.trade("after")
    wait_for(lambda: len(topic.events(Trade)) == 2)
    check_chain(topic)
    assert len(topic.events(FeedGap)) == 2
    assert {head.session for _, head, _ in topic.market()} == {"scripted-1"}


def test_the_sessions_clock_is_followed_to_its_end(venue: ScriptedVenue, service: ServiceProcess, topic: Topic) -> None:
    service.stop()
    venue.session, venue.rate, venue.state, venue.anchor_ns = "past", 0.0, "PLAYING_TRAINING", 1_000_000_000_000
    service.start()
    streaming(service)
    venue.trade("in the past", at_ms=1_000_500)
    venue.state, venue.anchor_ns = "WAITING", 1_001_000_000_000
    venue.announce()
    waiting = Tick(1_001_000_000_000)
    wait_for(lambda: waiting in topic.events(Tick), why="a clock that waits says so")
    venue.state = "ENDED"
    venue.announce()
    wait_for(lambda: topic.events(SessionEnd))
    wait_for(lambda: status(service).state == pb.FEED_STATE_ENDED)
    records = [(head, events[0]) for _, head, events in topic.market() if head.session == "past"]
    [past] = [head for head, event in records if isinstance(event, Trade)]
    assert past.received_time == 1_000_000_000_000
    assert past.clock.rate == 0.0
    assert [event for _, event in records if isinstance(event, Tick)] == [waiting]
    assert records[-1][1] == SessionEnd(1_001_000_000_000)
    venue.session, venue.state, venue.rate, venue.anchor_ns = "next", "TRADING", 1.0, None
    streaming(service)
    wait_for(lambda: {head.session for _, head, _ in topic.market()} >= {"past", "next"})


def test_a_host_that_does_not_announce_itself_is_refused(
    venue: ScriptedVenue, service: ServiceProcess, topic: Topic
) -> None:
    venue.announces = False
    venue.drop()
    service.stop()
    service.start()
    wait_for(lambda: _listed(service) and status(service).last_error)
    error = status(service).last_error
    assert "neither is the venue (its own hosts over TLS) nor announces itself" in error
    with pytest.raises(grpc.RpcError) as refused:
        stub(service).AddInstrument(pb.AddInstrumentRequest(instrument="sim.linear.ETHUSDT"), timeout=5.0)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_an_unknown_symbol_is_a_clear_error(venue: ScriptedVenue, service: ServiceProcess) -> None:
    streaming(service)
    with pytest.raises(grpc.RpcError) as refused:
        stub(service).AddInstrument(pb.AddInstrumentRequest(instrument="sim.linear.DOGEUSDT"), timeout=5.0)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "unknown symbol DOGEUSDT" in (refused.value.details() or "")
    venue.refuses.add(f"tickers.{INSTRUMENT.rpartition('.')[2]}")
    venue.drop()
    wait_for(lambda: "refuses to send" in status(service).last_error)
    error = status(service).last_error
    assert "handler not found,topic:tickers.BTCUSDT" in error


def test_rpcs_answer_and_refuse(venue: ScriptedVenue, service: ServiceProcess) -> None:
    streaming(service)
    rpcs = stub(service)
    watched = rpcs.WatchEvents(pb.WatchEventsRequest(instruments=[INSTRUMENT]), timeout=60.0)
    watched.initial_metadata()  # it has its place now
    seen = wait_for(lambda: _poke(venue, watched))
    assert seen.events.instrument == INSTRUMENT
    watched.cancel()  # type: ignore[no-untyped-call]
    for wrong, code in (
        (lambda: rpcs.GetFeedStatus(pb.GetFeedStatusRequest(instrument="x.y.z"), timeout=5.0), "NOT_FOUND"),
        (lambda: rpcs.AddInstrument(pb.AddInstrumentRequest(instrument="BTCUSDT"), timeout=5.0), "INVALID_ARGUMENT"),
        (lambda: rpcs.ListFeeds(pb.ListFeedsRequest(page_size=-1), timeout=5.0), "INVALID_ARGUMENT"),
        (lambda: rpcs.Backfill(pb.BackfillRequest(instrument=INSTRUMENT, from_ns=5), timeout=5.0), "INVALID_ARGUMENT"),
        (
            lambda: rpcs.Backfill(pb.BackfillRequest(instrument=INSTRUMENT, to_ns=60 * 10**9), timeout=5.0),
            "UNAVAILABLE",
        ),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            wrong()
        assert refused.value.code().name == code
    rpcs.RemoveInstrument(pb.RemoveInstrumentRequest(instrument=INSTRUMENT), timeout=5.0)
    wait_for(lambda: venue.listeners == 0, why="the connection of a removed instrument is closed")
    rpcs.AddInstrument(pb.AddInstrumentRequest(instrument=INSTRUMENT), timeout=5.0)
    streaming(service)


def _poke(venue: ScriptedVenue, watched: object) -> pb.WatchEventsResponse:
    venue.trade("watched")
    answer: pb.WatchEventsResponse = next(watched)  # type: ignore[call-overload]
    return answer


def _listed(service: ServiceProcess) -> bool:
    try:
        return bool(status(service).instrument)
    except grpc.RpcError:
        return False
