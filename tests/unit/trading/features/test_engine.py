"""What the engine promises about time, framing, sessions, gaps and restarts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.trading.features.catalogue import DEFAULT_VIEW, full_spec
from libs.trading.features.engine import FeatureEngine, SnapshotMismatch
from libs.trading.features.kernels.process import new_state
from libs.trading.features.kernels.state import ROW_DTYPE, Counter
from libs.trading.features.kernels.trade_ids import TRADE_IDS, is_new
from libs.trading.features.replay import joined, replay, replay_log
from libs.trading.features.spec import NotReady
from libs.trading.features.vector import FeatureVector
from libs.trading.market import (
    EVENT_DTYPE,
    NS_PER_SECOND,
    Bar,
    BookUpdate,
    Channel,
    FeedGap,
    MarketEvent,
    MarketRecord,
    Provenance,
    Seed,
    Side,
    Tick,
    Trade,
)
from libs.wire.market import decode_record, encode_record
from libs.wire.rows import rows_of
from tests.unit.trading.features.streams import INSTRUMENT, MS, START, a_stream, records_of

SPEC = full_spec(NS_PER_SECOND, 250 * MS)
SECOND = NS_PER_SECOND


def essence(vectors: Sequence[FeatureVector]) -> list[tuple[str, int, bytes, bytes, object, object]]:
    """What must not depend on how rows were packed into records."""
    return [(v.id, v.as_of, v.values.tobytes(), v.reasons.tobytes(), v.quote, v.last_price) for v in vectors]


def online(records: Sequence[MarketRecord]) -> list[FeatureVector]:
    engine = FeatureEngine(SPEC, INSTRUMENT)
    return [vector for offset, record in enumerate(records) for vector in engine.update(record, offset)]


def value(vector: FeatureVector, name: str) -> float:
    return float(vector.values[SPEC.names.index(name)])


def reason(vector: FeatureVector, name: str) -> NotReady:
    return NotReady(vector.reasons[SPEC.names.index(name)])


def a_market(*events: MarketEvent) -> list[FeatureVector]:
    return online(records_of([[event] for event in events]))


def trade(second: float, price: float = 100.0, size: float = 1.0, side: Side = Side.BUY, name: str = "") -> Trade:
    time = START + round(second * SECOND)
    return Trade(time, price, size, side, name or str(time))


def book(second: float, update: int, *, snapshot: bool = False, bid: float = 2.0, ask: float = 2.0) -> BookUpdate:
    return BookUpdate(START + round(second * SECOND), update, snapshot, [(99.0, bid)], [(101.0, ask)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.integers(0, 10**6))
def test_packing_rows_into_other_records_changes_nothing(seed: int, cuts: int) -> None:
    records = records_of(a_stream(seed, 250))
    rows = np.concatenate([record.rows for record in records])
    latest = max(record.head.received_time for record in records)
    rng = random.Random(cuts)
    repacked: list[MarketRecord] = []
    at = 0
    while at < len(rows):
        upto = at + rng.choice((1, 2, 5, 40, 400))
        head = replace(records[0].head, received_time=latest, seq=len(repacked))
        repacked.append(MarketRecord(head, rows[at:upto]))
        at = upto
    assert essence(online(repacked)) == essence(online(records))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_replay_in_batches_gives_what_one_record_at_a_time_gave(seed: int) -> None:
    records = records_of(a_stream(seed, 400))
    wholes = [(v.known_at, v.received_time, v.input_offset, v.channel_age) for v in online(records)]
    vectors = list(replay_log(SPEC, enumerate(records)))
    assert essence(vectors) == essence(online(records))
    assert [(v.known_at, v.received_time, v.input_offset, v.channel_age) for v in vectors] == wholes


def test_live_rows_and_replayed_rows_run_the_one_kernel_that_was_compiled_before() -> None:
    rows = decode_record(encode_record(records_of(a_stream(1, 20))[1])).rows
    compiled_for = numba.typeof(np.zeros(2, dtype=EVENT_DTYPE).view(ROW_DTYPE))  # as compile_kernels has them
    assert numba.typeof(rows.view(ROW_DTYPE)) == compiled_for
    assert numba.typeof(joined([rows, rows]).view(ROW_DTYPE)) == compiled_for


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), place=st.floats(0, 1))
def test_going_on_from_a_snapshot_changes_nothing(seed: int, place: float) -> None:
    records = records_of(a_stream(seed, 250))
    cut = int(place * len(records))
    engine = FeatureEngine(SPEC, INSTRUMENT)
    before = [v for i, record in enumerate(records[:cut]) for v in engine.update(record, i)]
    snapshot = engine.snapshot()
    assert snapshot == engine.snapshot()
    engine = FeatureEngine.restore(SPEC, INSTRUMENT, snapshot)
    assert engine.snapshot() == snapshot
    after = [v for i, record in enumerate(records) for v in engine.update(record, i)]  # what it has seen it skips
    assert essence(before + after) == essence(online(records))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), place=st.floats(0.1, 0.9))
def test_another_future_does_not_change_the_past(seed: int, place: float) -> None:
    frames = a_stream(seed, 250)
    cut = max(2, int(place * len(frames)))
    future = frames[cut:]
    random.Random(seed).shuffle(future)
    past = essence(online(records_of(frames[:cut])))
    assert essence(online(records_of(frames[:cut] + future)))[: len(past)] == past


def test_a_trade_counts_once() -> None:
    first = [trade(0.1, 100, name="a"), trade(0.2, 101, 2, Side.SELL, name="b")]
    later = [trade(3.1, 102, name="c"), trade(9.9, name="d")]
    once, twice = a_market(*first, *later), a_market(*first, *first, *later, first[0])
    assert essence(once) == essence(twice)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_4096_trade_ids_are_remembered_exactly(seed: int) -> None:
    rng = random.Random(seed)
    state = new_state(SPEC)[0]
    order: dict[int, None] = {}  # the ids that are remembered, oldest first
    counting = rng.randrange(2**40)
    for _ in range(5 * TRADE_IDS):
        counting += 1
        number = counting if rng.random() < 0.5 else rng.randrange(2**62)
        if order and rng.random() < 0.2:
            number = counting - rng.randrange(2 * TRADE_IDS)
        assert is_new(state, number) is (number not in order)
        order.setdefault(number)
        if len(order) > TRADE_IDS:
            del order[next(iter(order))]


def test_quiet_is_a_vector_per_boundary_and_a_tick_moves_time_up_to_its_lateness() -> None:
    vectors = a_market(trade(0.1), Tick(START + 5 * SECOND))
    assert [v.as_of - START for v in vectors] == [k * 250 * MS for k in range(1, 17)]


def test_a_vector_is_made_from_the_state_before_the_event_that_crosses() -> None:
    [before, *_] = a_market(trade(0.1, 100), trade(0.25, 200))
    assert before.last_price == 100.0
    assert before.as_of == START + 250 * MS
    assert before.known_at == before.received_time > before.as_of


def test_a_late_trade_counts_now_and_reopens_no_bar() -> None:
    vectors = a_market(*(trade(k + 0.5, 100 + k, 1.0) for k in range(4)), trade(1.2, 999, 7.0), trade(5.1))
    closes = {(v.as_of - START) // SECOND: value(v, "close") for v in vectors if (v.as_of - START) % SECOND == 0}
    assert closes[2] == closes[2] == 101.0
    assert closes[4] == 999.0  # at the watermark, 3.5 s
    assert {int(value(v, "volume")) for v in vectors if v.as_of == START + 4 * SECOND} == {8}


def test_an_event_from_the_future_moves_nothing() -> None:
    records = records_of([[trade(0.1)], [trade(0.2)]])
    wild = MarketRecord(records[1].head, rows_of([trade(50.0, 105.0)]))
    engine = FeatureEngine(SPEC, INSTRUMENT)
    engine.update(records[0], 0)
    assert engine.update(wild, 1) == []
    assert engine.watermark == START + 100 * MS
    assert engine.counters[Counter.AHEAD] == 1


def test_a_silence_of_weeks_is_a_gap_and_no_million_vectors() -> None:
    vectors = a_market(trade(0.1), trade(0.3), trade(30 * 86_400.0), trade(30 * 86_400.0 + 0.5))
    assert len(vectors) == 3
    assert reason(vectors[-1], "taker_imbalance_5s") is NotReady.GAP


def test_an_older_epoch_is_dropped_and_another_session_begins_anew() -> None:
    one, two, three = records_of([[trade(0.1, 100)], [trade(0.3, 101)], [trade(0.7, 102)]])
    engine = FeatureEngine(SPEC, INSTRUMENT)
    engine.update(replace(one, head=replace(one.head, epoch=5)), 5)
    assert engine.update(replace(two, head=replace(two.head, epoch=4)), 6) == []
    assert engine.counters[Counter.OLD_EPOCH] == 1
    assert engine.update(replace(two, head=replace(two.head, epoch=4, session="old")), 7) == []
    head = replace(three.head, epoch=8, session="s-2", provenance=Provenance.RECORDED)
    assert engine.update(replace(three, head=head), 8) == []  # the first event of a session crosses nothing
    assert engine.session == "s-2"
    assert engine.counters[Counter.TRADES] == 1
    assert engine.provenance is Provenance.RECORDED


def test_the_opening_gap_of_an_epoch_fences_by_its_own_offset() -> None:
    opening, zombie, fresh = records_of([[FeedGap(START, Channel.ALL, 0, 0, "start")], [trade(0.1)], [trade(0.2)]])
    engine = FeatureEngine(SPEC, INSTRUMENT)
    engine.update(replace(opening, head=replace(opening.head, epoch=0)), 10)
    engine.update(replace(zombie, head=replace(zombie.head, epoch=3)), 11)
    engine.update(replace(fresh, head=replace(fresh.head, epoch=10)), 12)
    assert engine.counters[Counter.TRADES] == 1
    assert engine.counters[Counter.OLD_EPOCH] == 1


def test_an_epoch_of_offset_zero_is_an_epoch_like_any_other() -> None:
    opening, first, second = records_of([[FeedGap(START, Channel.ALL, 0, 0, "start")], [trade(0.1)], [trade(0.3)]])
    again = replace(opening, head=replace(opening.head, epoch=0))
    engine = FeatureEngine(SPEC, INSTRUMENT)
    engine.update(again, 0)
    engine.update(replace(first, head=replace(first.head, epoch=0)), 1)
    assert engine.epoch == 0
    engine.update(again, 7)
    assert engine.epoch == 7
    assert engine.update(replace(second, head=replace(second.head, epoch=0)), 8) == []
    assert engine.counters[Counter.TRADES] == 1


def test_a_result_has_the_worst_provenance_of_its_session() -> None:
    live, simulated, again = records_of([[trade(0.1)], [trade(0.2)], [trade(0.6)]])
    records = [
        replace(record, head=replace(record.head, provenance=provenance))
        for record, provenance in ((live, Provenance.LIVE), (simulated, Provenance.SIMULATED), (again, Provenance.LIVE))
    ]
    assert {v.provenance for v in online(records)} == {Provenance.SIMULATED}
    assert {v.provenance for v in replay(SPEC, records)} == {Provenance.SIMULATED}


def test_a_gap_silences_what_depends_on_it_until_its_window_is_whole() -> None:
    events: list[MarketEvent] = [book(0.0, 1, snapshot=True), trade(0.0)]
    events += [event for k in range(1, 40) for event in (book(k, k + 1, bid=2 + k % 3), trade(k + 0.1))]
    gap = FeedGap(START + round(39.5 * SECOND), Channel.BOOK, 40, 50, "jump")
    events += [gap, trade(41.0), book(41.2, 60, snapshot=True)]
    events += [event for k in range(42, 50) for event in (book(k, k + 60), trade(k + 0.1))]
    vectors = {(v.as_of - START) / SECOND: v for v in a_market(*events)}
    assert reason(vectors[39.0], "ofi_30s") is NotReady.READY
    for name in ("spread_bps", "imbalance_5", "ofi_1s"):
        assert reason(vectors[40.0], name) is NotReady.GAP
    assert vectors[40.0].quote is None
    assert reason(vectors[41.25], "spread_bps") is NotReady.READY
    assert reason(vectors[42.0], "ofi_1s") is NotReady.GAP
    assert reason(vectors[42.25], "ofi_1s") is NotReady.READY
    assert reason(vectors[46.25], "ofi_5s") is NotReady.READY
    assert reason(vectors[48.0], "ofi_30s") is NotReady.GAP
    assert reason(vectors[40.0], "taker_imbalance_30s") is NotReady.READY  # trades were not lost
    assert reason(vectors[48.0], "close") is NotReady.READY


def test_a_repeated_snapshot_is_no_gap_and_no_flow() -> None:
    quiet = [book(k, k + 1, bid=2 + k % 3) for k in range(1, 8)]
    start, end = book(0.0, 1, snapshot=True), trade(9.0)
    again = replace(quiet[-1], event_time=quiet[-1].event_time + 100 * MS, snapshot=True)
    ofi = [value(v, "ofi_5s") for v in a_market(start, *quiet, end)]
    assert np.array_equal(ofi, [value(v, "ofi_5s") for v in a_market(start, *quiet, again, end)], equal_nan=True)
    other = replace(again, update_id=99)
    assert reason(a_market(start, *quiet, other, end)[-1], "ofi_5s") is NotReady.GAP


def test_deltas_before_a_snapshot_are_not_a_book() -> None:
    vectors = a_market(book(0.0, 1), book(0.1, 2), trade(1.0))
    assert vectors[-1].quote is None
    assert reason(vectors[-1], "spread_bps") is NotReady.NO_DATA


def test_imported_bars_and_bars_of_trades_exclude_each_other() -> None:
    bars = [Bar(START + k * SECOND, START + (k + 1) * SECOND, 10, 20, 9, 11 + k, 5) for k in range(3)]
    imported = a_market(bars[0], trade(1.5, 500), bars[1], bars[2])
    assert value(imported[-1], "close") == 13.0
    traded = a_market(trade(0.1, 500), bars[0], trade(1.1, 501), trade(2.1, 502), trade(3.1))
    assert value(traded[-1], "close") == 502.0


def test_a_seed_warms_the_bars_of_trades() -> None:
    bars = tuple(Bar(START + k * SECOND, START + (k + 1) * SECOND, 100, 110, 99, 100 + k % 3, 5) for k in range(-60, 0))
    warm = a_market(Seed(bars), trade(0.0), *(trade(k + 0.5) for k in range(3)))
    assert reason(warm[-1], "ema_50") is NotReady.READY
    holed = a_market(Seed(bars[:30] + bars[31:]), trade(0.0), *(trade(k + 0.5) for k in range(3)))
    assert reason(holed[-1], "ema_50") is not NotReady.READY


def test_where_nothing_moves_the_indicators_lean_nowhere() -> None:
    last = a_market(*(trade(k + 0.5, 100.0) for k in range(60)))[-1]
    assert (value(last, "rsi_14"), value(last, "bb_position"), value(last, "zscore")) == (50.0, 0.5, 0.0)
    assert not last.reasons[[SPEC.names.index(n) for n in DEFAULT_VIEW if n in SPEC.names[:19]]].any()


def test_missing_values_are_the_canonical_nan_and_zeros_are_positive() -> None:
    for vector in online(records_of(a_stream(3, 400))):
        bits = vector.values.view(np.uint32)
        assert set(bits[np.isnan(vector.values)].tolist()) <= {0x7FC00000}
        assert 0x80000000 not in bits
        assert np.array_equal(np.isnan(vector.values), vector.reasons != NotReady.READY)


@pytest.mark.parametrize(("bar", "emission"), [(0, SECOND), (SECOND, -1), (SECOND, 333 * MS)])
def test_intervals_that_do_not_fit_are_refused(bar: int, emission: int) -> None:
    with pytest.raises(ValueError, match="ns"):
        FeatureEngine(full_spec(bar, emission), INSTRUMENT)


def test_a_snapshot_of_something_else_is_refused() -> None:
    engine = FeatureEngine(SPEC, INSTRUMENT)
    snapshot = engine.snapshot()
    with pytest.raises(SnapshotMismatch, match="instrument"):
        FeatureEngine.restore(SPEC, "bybit.linear.ETHUSDT", snapshot)
    with pytest.raises(SnapshotMismatch, match="spec"):
        FeatureEngine.restore(full_spec(), INSTRUMENT, snapshot)
    with pytest.raises(SnapshotMismatch, match="damaged"):
        FeatureEngine.restore(SPEC, INSTRUMENT, snapshot[:-20])
    with pytest.raises(SnapshotMismatch, match="no snapshot"):
        FeatureEngine.restore(SPEC, INSTRUMENT, b"hello")
