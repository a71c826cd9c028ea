"""A label looks ahead exactly as far as it says, from the first price that could be traded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading import labels
from libs.trading.labels import LabelRefused, LabelSpec
from libs.trading.scoring import LabelKind

SECOND = 1_000_000_000


def a_spec(
    horizon_ns: int = 4 * SECOND, k: float = 0.5, floor: float = 0.0, latency_ns: int = 0, max_wait_ns: int = SECOND
) -> LabelSpec:
    return LabelSpec(LabelKind.DIRECTION, horizon_ns, k, floor, latency_ns, max_wait_ns)


def a_path(mids: list[float], spread: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mid = np.array(mids)
    return np.arange(len(mids), dtype=np.int64) * SECOND, mid - spread / 2, mid + spread / 2


def test_the_return_is_from_the_first_price_after_latency_to_the_price_one_horizon_later() -> None:
    times, bid, ask = a_path([100.0, 101, 102, 103, 104, 105, 110, 120])
    got = labels.outcomes(np.array([0]), times, bid, ask, a_spec(latency_ns=SECOND // 2))
    assert got.valid[0]
    assert got.entry_time[0] == SECOND
    assert got.label_end[0] == 5 * SECOND
    assert got.future_return[0] == pytest.approx(105 / 101 - 1)


def test_a_row_that_is_known_late_enters_late() -> None:
    times, bid, ask = a_path([100.0 + i for i in range(12)])
    got = labels.outcomes(np.array([0, 3 * SECOND]), times, bid, ask, a_spec())
    assert got.entry_time.tolist() == [0, 3 * SECOND]


def test_a_price_that_comes_too_late_is_no_price() -> None:
    times = np.array([0, 1, 9, 10, 14]) * SECOND
    price = np.full(5, 100.0)
    got = labels.outcomes(np.array([0, 2 * SECOND, 10 * SECOND]), times, price, price, a_spec())
    assert got.valid.tolist() == [False, False, True]
    assert np.isnan(got.future_return[:2]).all()


def test_rows_without_a_quote_or_with_a_crossed_one_are_skipped() -> None:
    times, bid, ask = a_path([100.0, 101, 102, 103, 104, 105, 106])
    bid[1], ask[2] = np.nan, 1.0
    got = labels.outcomes(np.array([SECOND]), times, bid, ask, a_spec(horizon_ns=SECOND, max_wait_ns=2 * SECOND))
    assert got.entry_time[0] == 3 * SECOND


def test_no_quotes_at_all_is_no_label() -> None:
    nothing = np.zeros(0)
    assert not labels.outcomes(np.array([1]), nothing.astype(np.int64), nothing, nothing, a_spec()).valid.any()


def test_quotes_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        labels.outcomes(np.array([0]), np.array([2, 1]), np.ones(2), np.ones(2), a_spec())


@given(st.lists(st.floats(50, 150), min_size=12, max_size=40), st.integers(0, 11), st.data())
def test_nothing_after_the_label_end_can_change_a_label(mids: list[float], row: int, data: st.DataObject) -> None:
    times, bid, ask = a_path(mids, spread=0.1)
    spec = a_spec(latency_ns=SECOND // 4)
    before = labels.outcomes(times, times, bid, ask, spec)
    if not before.valid[row]:
        return
    later = times > before.label_end[row]
    move = data.draw(st.floats(0.5, 2.0))
    after = labels.outcomes(times, times, np.where(later, bid * move, bid), np.where(later, ask * move, ask), spec)
    assert after.future_return[row] == before.future_return[row]


@given(st.lists(st.floats(50, 150), min_size=12, max_size=40), st.floats(0.5, 2.0), st.data())
def test_nothing_before_the_entry_can_change_a_label(mids: list[float], move: float, data: st.DataObject) -> None:
    times, bid, ask = a_path(mids, spread=0.1)
    spec = a_spec(latency_ns=SECOND // 4)
    before = labels.outcomes(times, times, bid, ask, spec)
    row = data.draw(st.sampled_from(np.flatnonzero(before.valid).tolist() or [0]))
    earlier = times < before.entry_time[row]
    after = labels.outcomes(times, times, np.where(earlier, bid * move, bid), np.where(earlier, ask * move, ask), spec)
    assert after.future_return[row] == before.future_return[row] or not before.valid[row]


@given(st.lists(st.floats(-0.05, 0.05), min_size=5, max_size=50).filter(lambda r: np.std(r) > 1e-9))
def test_a_mirrored_market_has_mirrored_labels(returns: list[float]) -> None:
    r = np.array(returns)
    threshold = labels.fit_threshold(r, a_spec())
    assert (labels.direction(-r, threshold) == 2 - labels.direction(r, threshold)).all()


def test_the_threshold_is_k_sigma_but_at_least_the_floor() -> None:
    returns = np.array([-0.01, 0.01, -0.01, 0.01])
    sigma = returns.std(ddof=1)
    assert labels.fit_threshold(returns, a_spec(k=0.5)) == pytest.approx(0.5 * sigma)
    assert labels.fit_threshold(returns, a_spec(k=0.5, floor=0.02)) == 0.02


def test_a_price_that_never_moves_has_no_threshold() -> None:
    with pytest.raises(LabelRefused, match="never moved"):
        labels.fit_threshold(np.zeros(9), a_spec(floor=0.01))


def test_a_traded_class_under_five_percent_is_refused_with_the_counts() -> None:
    rare = np.array([labels.UP] * 4 + [labels.DOWN] * 40 + [labels.FLAT] * 56, dtype=np.int8)
    with pytest.raises(LabelRefused, match="down 40, flat 56, up 4"):
        labels.check_classes(rare)
    labels.check_classes(np.array([labels.UP] * 5 + [labels.DOWN] * 40 + [labels.FLAT] * 55, dtype=np.int8))


def test_flat_may_be_rare_because_it_is_not_traded() -> None:
    labels.check_classes(np.array([labels.UP] * 50 + [labels.DOWN] * 50, dtype=np.int8))


def test_a_horizon_under_one_bar_is_refused() -> None:
    a_spec(horizon_ns=SECOND).check_horizon(SECOND)
    with pytest.raises(LabelRefused, match="shorter than one bar"):
        a_spec(horizon_ns=SECOND).check_horizon(2 * SECOND)


@pytest.mark.parametrize("kind", [LabelKind.TRIPLE_BARRIER, LabelKind.EXPECTED_PNL, LabelKind.META])
def test_labels_that_do_not_exist_yet_say_so(kind: LabelKind) -> None:
    with pytest.raises(LabelRefused, match="not available yet"):
        LabelSpec(kind, SECOND, 0.5, 0.0, 0, 0)


def test_labels_that_never_meet_are_wholly_unique_and_twins_share() -> None:
    assert labels.uniqueness(np.array([0, 10]), np.array([5, 15])).tolist() == [1.0, 1.0]
    assert labels.uniqueness(np.array([0, 0]), np.array([5, 5])).tolist() == [0.5, 0.5]
    assert labels.uniqueness(np.array([0, 5]), np.array([10, 15])).tolist() == [0.75, 0.75]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=30))
def test_uniqueness_adds_up_to_the_time_that_is_covered(intervals: list[tuple[int, int]]) -> None:
    start = np.array([s for s, _ in intervals])
    end = start + np.array([d for _, d in intervals])
    weights = labels.uniqueness(start, end)
    covered = len({t for s, e in zip(start, end, strict=True) for t in range(s, e)})
    assert float((weights * (end - start)).sum()) == pytest.approx(covered)
    assert ((weights > 0) & (weights <= 1 + 1e-12)).all()
