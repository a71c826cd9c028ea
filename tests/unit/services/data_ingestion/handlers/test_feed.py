"""A feed opens epochs with gaps, numbers what follows, and writes nothing that it must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import (
    BookUpdate,
    Channel,
    FeedGap,
    MarketEvent,
    Provenance,
    SessionClock,
    SessionEnd,
    Tick,
)
from services.data_ingestion.domain import Announcement, FeedState, SourceState
from services.data_ingestion.handlers.feed import Feed
from tests.builders import market as build
from tests.fakes.market_log import CountingMeter, RememberingLog

S = 1_000_000_000
NOW = 1_700_000_000 * S
SOURCE = Announcement(
    "s1", "sim.linear.BTCUSDT", "BTCUSDT", Provenance.SIMULATED, SessionClock(0, 0, 1.0), SourceState.TRADING
)


class World:
    """A feed, its log, and the hand that opens epochs as an adapter does."""

    def __init__(self) -> None:
        self.log, self.meter = RememberingLog(), CountingMeter()
        self.feed = Feed("BTCUSDT", "bybit.linear.BTCUSDT", self.log, self.meter)

    def open(self, gap: FeedGap | None = None, source: Announcement = SOURCE, wall: int = NOW) -> None:
        self.feed.opened(self.feed.open(source, gap, wall, "start of ingestion").result())

    def take(self, channel: Channel, *events: MarketEvent, wall: int = NOW) -> FeedGap | None:
        gap = self.feed.take(channel, events, wall, b"frame")
        if gap is not None:
            self.open(gap)
            assert self.feed.take(channel, events, wall, b"frame") is None
        return gap

    def book(self, update_id: int, snapshot: bool = False, time: int = NOW) -> FeedGap | None:
        return self.take(Channel.BOOK, build.a_book(update_id=update_id, snapshot=snapshot, event_time=time))

    def trade(self, time: int = NOW) -> FeedGap | None:
        return self.take(Channel.TRADES, build.a_trade(event_time=time))

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(head.epoch, head.seq) for head, _ in self.log.records]

    @property
    def written(self) -> Sequence[MarketEvent]:
        return [event for _, events in self.log.records for event in events]


@pytest.fixture
def world() -> World:
    world = World()
    world.log.records.append((build.a_head(), []))  # offset 0 is somebody else's
    world.open()
    world.book(10, snapshot=True)
    return world


def test_an_epoch_is_the_offset_of_its_gap_and_numbers_begin_anew(world: World) -> None:
    world.book(11)
    world.trade()
    assert world.places[1:] == [(0, 0), (1, 0), (1, 1), (1, 2)]
    [gap] = world.log.records[1][1]
    assert gap == FeedGap(NOW, Channel.ALL, 0, 0, "start of ingestion")
    assert world.feed.state is FeedState.STREAMING


def test_records_carry_what_the_source_says_of_itself(world: World) -> None:
    head, _ = world.log.records[-1]
    assert (head.instrument, head.session, head.provenance, head.clock) == (
        "sim.linear.BTCUSDT",
        "s1",
        Provenance.SIMULATED,
        SOURCE.clock,
    )
    assert head.received_time == NOW


def test_a_jump_opens_an_epoch_and_waits_for_a_snapshot(world: World) -> None:
    gap = world.book(13)
    assert gap is not None
    assert (gap.channel, gap.from_update_id, gap.to_update_id) == (Channel.BOOK, 10, 13)
    assert world.feed.wants_snapshot
    assert world.feed.state is FeedState.SYNCHRONISING
    world.book(14)
    world.trade()
    world.book(20, snapshot=True)
    world.book(21)
    assert world.places[-4:] == [(0, 0), (3, 0), (3, 1), (3, 2)]
    assert [event.update_id for event in world.written if isinstance(event, BookUpdate)] == [10, 20, 21]
    assert world.feed.status().gaps == 2 == world.meter.gaps


def test_a_new_snapshot_out_of_turn_is_a_gap_and_whole_at_once(world: World) -> None:
    gap = world.book(1, snapshot=True)
    assert gap is not None
    assert not world.feed.wants_snapshot
    assert world.book(2) is None


def test_a_snapshot_pushed_again_is_no_gap(world: World) -> None:
    assert world.book(10, snapshot=True) is None
    assert world.book(11) is None


def test_an_update_that_comes_twice_is_written_once(world: World) -> None:
    world.book(11)
    world.book(11)
    assert [event.update_id for event in world.written if isinstance(event, BookUpdate)] == [10, 11]


def test_events_far_ahead_are_counted_and_buried_but_not_written(world: World) -> None:
    world.take(Channel.TRADES, build.a_trade(event_time=NOW), build.a_trade(event_time=NOW + 3 * S, trade_id="ahead"))
    assert world.written[-1] == build.a_trade(event_time=NOW)
    assert world.feed.status().quarantined == 1 == world.meter.quarantines
    assert world.log.buried[0][1] == b"frame"
    assert world.feed.status().last_event_time == NOW


def test_a_quarantined_book_frame_is_a_gap_because_its_update_is_lost(world: World) -> None:
    gap = world.book(11, time=NOW + 3 * S)
    assert gap is not None
    assert "quarantined" in gap.reason
    assert world.feed.wants_snapshot
    assert all(event.event_time <= NOW for event in world.written if isinstance(event, BookUpdate))


def test_a_quarantined_book_frame_is_counted_and_buried_once(world: World) -> None:
    world.book(11, time=NOW + 3 * S)
    assert world.feed.status().quarantined == 1 == world.meter.quarantines
    assert [frame for _, frame, _ in world.log.buried] == [b"frame"]
    world.book(20, snapshot=True, time=NOW + 3 * S)
    assert world.feed.status().quarantined == 2 == len(world.log.buried)


def test_a_quarantined_snapshot_opens_no_epoch_after_epoch(world: World) -> None:
    world.book(13)
    before = world.feed.status().gaps
    for _ in range(3):
        assert world.book(20, snapshot=True, time=NOW + 3 * S) is None
    assert world.feed.status().gaps == before


def test_a_frame_that_cannot_be_read_is_buried_and_marks_its_channel_once(world: World) -> None:
    gap = world.feed.malformed(Channel.TRADES, b"{", "cut short", NOW)
    assert gap is not None
    assert (gap.channel, gap.reason) == (Channel.TRADES, "malformed frame: cut short")
    world.open(gap)
    assert not world.feed.wants_snapshot
    assert world.feed.malformed(Channel.TRADES, b"{", "cut short", NOW) is None
    world.trade()
    assert world.feed.malformed(Channel.TRADES, b"{", "cut short", NOW) is not None
    assert [frame for _, frame, _ in world.log.buried] == [b"{"] * 3
    assert world.meter.malformeds == 3


def test_a_frame_of_no_channel_loses_every_channel(world: World) -> None:
    gap = world.feed.malformed(Channel.ALL, b"?", "not a frame", NOW)
    assert gap is not None
    world.open(gap)
    assert world.feed.wants_snapshot
    assert world.feed.malformed(Channel.ALL, b"?", "not a frame", NOW) is None
    world.book(30, snapshot=True)
    assert world.feed.malformed(Channel.ALL, b"?", "not a frame", NOW) is not None


def test_a_quiet_second_makes_one_tick(world: World) -> None:
    world.feed.quiet(NOW + S - 1)
    world.feed.quiet(NOW + S)
    world.feed.quiet(NOW + S + 1)
    world.feed.quiet(NOW + 2 * S)
    assert [event for event in world.written if isinstance(event, Tick)] == [Tick(NOW + S), Tick(NOW + 2 * S)]


def test_no_tick_speaks_for_a_connection_that_is_lost(world: World) -> None:
    world.feed.lost("gone")
    world.feed.quiet(NOW + 10 * S)
    assert not any(isinstance(event, Tick) for event in world.written)
    assert (world.feed.state, world.feed.last_error) == (FeedState.WAITING, "gone")


def test_a_reconnect_goes_on_in_the_session_with_a_new_epoch(world: World) -> None:
    world.feed.lost("gone")
    world.open(wall=NOW + S)
    world.trade()
    assert world.feed.wants_snapshot
    assert world.places[-2:] == [(0, 0), (3, 0)]
    assert {head.session for head, _ in world.log.records[1:]} == {"s1"}


def test_nothing_is_taken_between_the_gap_and_its_acknowledgement(world: World) -> None:
    world.feed.open(SOURCE, None, NOW, "again")
    with pytest.raises(RuntimeError, match="before its epoch was opened"):
        world.feed.take(Channel.TRADES, [build.a_trade()], NOW)
    world.feed.quiet(NOW + 10 * S)
    assert not any(isinstance(event, Tick) for event in world.written)


def test_the_clocks_changes_are_followed(world: World) -> None:
    slower = replace(SOURCE, clock=SessionClock(NOW, NOW, 0.5))
    assert world.feed.announce(slower)
    world.take(Channel.TRADES, build.a_trade(event_time=NOW), wall=NOW + S)
    head, _ = world.log.records[-1]
    assert (head.clock, head.received_time) == (slower.clock, NOW + S // 2)


def test_another_session_has_to_be_opened(world: World) -> None:
    assert not world.feed.announce(replace(SOURCE, session="s2"))


def test_the_end_is_written_once(world: World) -> None:
    world.feed.end(NOW + 5)
    world.feed.end(NOW + 6)
    assert [event for event in world.written if isinstance(event, SessionEnd)] == [SessionEnd(NOW + 5)]
    assert world.feed.state is FeedState.ENDED
    world.feed.quiet(NOW + 10 * S)
    assert isinstance(world.written[-1], SessionEnd)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_received_times_never_go_back_within_a_session(steps: list[int]) -> None:
    world = World()
    world.open()
    wall = NOW
    for step in steps:
        wall += step * S
        world.feed.take(Channel.TRADES, [build.a_trade(event_time=NOW - HOUR)], wall)
    times = [head.received_time for head, _ in world.log.records]
    assert times == sorted(times)


HOUR = 3600 * S
moves = st.lists(
    st.one_of(
        st.tuples(st.just("book"), st.integers(1, 12)),
        st.tuples(st.just("snapshot"), st.integers(1, 12)),
        st.tuples(st.just("trade"), st.just(0)),
        st.tuples(st.just("reconnect"), st.just(0)),
        st.tuples(st.just("ahead"), st.integers(1, 12)),
    ),
    max_size=40,
)


@given(moves)
def test_whatever_comes_the_log_is_a_chain(script: list[tuple[str, int]]) -> None:
    """Within an epoch numbers rise by one from 0, and book ids rise by one from a snapshot."""
    world = World()
    world.open()
    for move, update_id in script:
        if move == "trade":
            world.trade()
        elif move == "reconnect":
            world.feed.lost("gone")
            world.open()
        else:
            world.book(update_id, snapshot=move == "snapshot", time=NOW + (3 * S if move == "ahead" else 0))
    epoch, seq, last = -1, 0, None
    for offset, (head, events) in enumerate(world.log.records):
        if isinstance(events[0], FeedGap):
            assert (head.epoch, head.seq) == (0, 0)
            epoch, seq = offset, 0
            last = None if events[0].channel in (Channel.ALL, Channel.BOOK) else last
            continue
        assert (head.epoch, head.seq) == (epoch, seq)
        seq += 1
        for event in events:
            if isinstance(event, BookUpdate):
                assert (
                    event.snapshot if last is None else event.update_id - last in ((0, 1) if event.snapshot else (1,))
                )
                last = event.update_id
