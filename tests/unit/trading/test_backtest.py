"""The backtest keeps the platform's rule, pays every cost, and never knows what comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from libs.trading.backtest import Exit, QuoteRows, Run, Terms, momentum_score, naive_runs, run
from libs.trading.fees import Costs
from libs.trading.strategy import Target

Floats = NDArray[np.float64]
SECOND = 10**9
FREE = Costs(0.0, 0.0, 0.0)
TERMS = Terms(FREE, 3 * SECOND, SECOND // 10, 1000.0, 10_000.0)


def quotes(mid: Floats, half_spread: float = 0.0, *, known_after_ns: int = 0, instrument: int = 0) -> QuoteRows:
    n = mid.size
    as_of = np.arange(n, dtype=np.int64) * SECOND
    codes = np.full(n, instrument, np.int64)
    return QuoteRows(as_of, as_of + known_after_ns, codes, np.zeros(n, np.int64), mid - half_spread, mid + half_spread)


def walk(seed: int, n: int = 200) -> Floats:
    return np.asarray(100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-3, n))))


def scores(seed: int, n: int = 200) -> Floats:
    return np.random.default_rng(seed + 1000).uniform(-1, 1, n)


def steps(run_: Run) -> list[tuple[Target, int, int, Exit]]:
    return [(t.direction, t.entry_time // SECOND, t.exit_time // SECOND, t.exit) for t in run_.trades]


def test_it_fills_at_the_next_quote_and_leaves_at_the_horizon_of_the_decision() -> None:
    score = np.zeros(12)
    score[2] = 0.9
    found = run(quotes(np.linspace(100, 111, 12)), score, 0.5, TERMS)
    assert steps(found) == [(Target.LONG, 3, 6, Exit.HORIZON)]  # decided at 2, ends at 2 + 3, filled one later
    assert found.net == pytest.approx(1000 / 103 * 3)


def test_the_opposite_signal_turns_round_and_the_same_signal_renews_nothing() -> None:
    score = np.zeros(12)
    score[1], score[2], score[3] = 0.9, 0.9, -0.9
    found = run(quotes(walk(1, 12)), score, 0.5, TERMS)
    assert steps(found) == [(Target.LONG, 2, 4, Exit.OPPOSITE), (Target.SHORT, 4, 7, Exit.HORIZON)]


def test_what_is_held_at_the_end_is_closed_there_and_a_late_order_finds_no_quote() -> None:
    score = np.zeros(6)
    score[3] = 0.9
    assert steps(run(quotes(walk(2, 6)), score, 0.5, TERMS)) == [(Target.LONG, 4, 5, Exit.END)]
    score[3], score[5] = 0.0, 0.9
    assert run(quotes(walk(2, 6)), score, 0.5, TERMS).trades == ()


def test_latency_and_lateness_move_the_fill() -> None:
    score = np.zeros(12)
    score[2] = 0.9
    slow = replace(TERMS, latency_ns=int(1.5 * SECOND))
    assert run(quotes(walk(3, 12)), score, 0.5, slow).trades[0].entry_time == 4 * SECOND
    late = quotes(walk(3, 12), known_after_ns=2 * SECOND)
    assert run(late, score, 0.5, TERMS).trades[0].entry_time == 5 * SECOND
    instant = replace(TERMS, latency_ns=0)
    assert run(quotes(walk(3, 12)), score, 0.5, instant).trades[0].entry_time == 3 * SECOND


def test_a_round_trip_in_a_still_market_costs_spread_fees_and_slippage() -> None:
    score = np.zeros(12)
    score[2] = -0.9
    terms = replace(TERMS, costs=Costs(maker_fee_bps=2.0, taker_fee_bps=5.5, slippage_bps=2.0))
    found = run(quotes(np.full(12, 100.0), 0.01), score, 0.5, terms)
    assert found.net == pytest.approx(-1000 * 2 * (1e-4 + 2e-4 + 5.5e-4), rel=1e-3)
    assert found.trades[0].fees == pytest.approx(1000 * 2 * 5.5e-4, rel=1e-3)
    doubled = run(quotes(np.full(12, 100.0), 0.01), score, 0.5, replace(terms, costs=terms.costs.times(2)))
    assert doubled.net == pytest.approx(-1000 * 2 * (1e-4 + 4e-4 + 11e-4), rel=1e-3)


@given(st.integers(0, 500), st.floats(0.0, 0.9), st.floats(0, 10))
@settings(max_examples=60, deadline=None)
def test_marked_to_market_profit_is_the_sum_of_the_trades(seed: int, threshold: float, fee_bps: float) -> None:
    terms = replace(TERMS, costs=Costs(0.0, fee_bps, 1.0))
    found = run(quotes(walk(seed), 0.02), scores(seed), threshold, terms)
    assert found.net == pytest.approx(sum(t.net for t in found.trades), abs=1e-7)
    assert found.equity[-1] == pytest.approx(10_000 + found.net)
    assert all(a.exit_time <= b.entry_time for a, b in zip(found.trades, found.trades[1:], strict=False))


@given(st.integers(0, 500), st.integers(10, 190))
@settings(max_examples=60, deadline=None)
def test_another_future_changes_nothing_before_it(seed: int, cut: int) -> None:
    mid, score = walk(seed), scores(seed)
    other_mid, other_score = mid.copy(), score.copy()
    other_mid[cut:], other_score[cut:] = walk(seed + 1)[cut:], scores(seed + 1)[cut:]
    first = run(quotes(mid, 0.01), score, 0.4, TERMS)
    second = run(quotes(other_mid, 0.01), other_score, 0.4, TERMS)
    assert np.array_equal(first.profit[:cut], second.profit[:cut])


@given(st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_without_costs_the_opposite_model_earns_the_opposite(seed: int) -> None:
    rows, score = quotes(walk(seed)), scores(seed)
    assert run(rows, score, 0.4, TERMS).net == pytest.approx(-run(rows, -score, 0.4, TERMS).net, abs=1e-7)


def test_instruments_and_sessions_do_not_touch_each_other() -> None:
    first, second = quotes(walk(4), 0.01), quotes(walk(5), 0.01, instrument=1)
    order = np.argsort(np.concatenate((first.as_of, second.as_of)), kind="stable")
    fields = ("as_of", "known_at", "instrument", "session", "bid", "ask")
    both = QuoteRows(*(np.concatenate((getattr(first, f), getattr(second, f)))[order] for f in fields))
    score = np.concatenate((scores(4), scores(5)))[order]
    alone = run(first, scores(4), 0.4, TERMS).net + run(second, scores(5), 0.4, TERMS).net
    assert run(both, score, 0.4, TERMS).net == pytest.approx(alone)
    halves = replace(first, session=(np.arange(200) >= 100).astype(np.int64))
    assert all(
        (t.entry_time < 100 * SECOND) == (t.exit_time < 100 * SECOND) for t in run(halves, scores(4), 0.0, TERMS).trades
    )


def test_never_is_a_legal_threshold() -> None:
    assert run(quotes(walk(6)), scores(6), None, TERMS).trades == ()


def test_it_repeats_itself() -> None:
    first, second = (run(quotes(walk(7), 0.01), scores(7), 0.2, TERMS) for _ in range(2))
    assert np.array_equal(first.profit, second.profit)
    assert first.trades == second.trades


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("bid", np.array([1.0, 0.0, 1.0]), "no quote"),
        ("bid", np.array([1.0, 9.0, 1.0]), "crossed"),
        ("ask", np.array([1.0, np.inf, 1.0]), "no quote"),
        ("known_at", np.array([0, 0, 0]), "known before"),
        ("as_of", np.array([0, 2, 1]), "sorted"),
        ("as_of", np.array([0, 0, 1]), "two rows at one"),
        ("session", np.zeros(2, np.int64), "differ in length"),
    ],
)
def test_rows_that_cannot_be_are_errors(field: str, value: NDArray[Any], words: str) -> None:
    good = quotes(np.ones(3), known_after_ns=5 * SECOND)
    if field == "known_at":
        value = good.as_of - 1
    with pytest.raises(ValueError, match=words):
        replace(good, **{field: value})


@pytest.mark.parametrize("bad", [np.full(5, np.nan), np.full(5, 1.1), np.zeros(4)])
def test_scores_that_are_none_are_errors(bad: Floats) -> None:
    with pytest.raises(ValueError, match="scores"):
        run(quotes(np.ones(5)), bad, 0.5, TERMS)


def test_naive_rules_know_only_the_past_and_pay_the_same_costs() -> None:
    mid = np.concatenate((np.linspace(100, 110, 20), np.linspace(110, 100, 20)))
    rows = quotes(mid, 0.01)
    score = momentum_score(rows, 3 * SECOND)
    assert score[:3].tolist() == [0, 0, 0]
    assert set(score[3:19].tolist()) == {1.0}
    assert set(score[24:].tolist()) == {-1.0}
    found = {naive.name: naive.run for naive in naive_runs(rows, 0, replace(TERMS, costs=Costs(0, 1.0, 0)))}
    assert found["stay out"].net == 0.0
    assert len(found["buy and hold"].trades) == 1
    assert found["momentum"].net > 0 > found["reversal"].net
    assert {t.direction for t in found["majority class"].trades} == {Target.SHORT}
    flat = {naive.name: naive.run for naive in naive_runs(rows, 1, TERMS)}
    assert flat["majority class"].trades == ()


def test_the_figures_of_a_run() -> None:
    found = run(quotes(walk(8), 0.01), scores(8), 0.4, TERMS).performance(10 * SECOND)
    assert found.trades > 10
    assert found.exposure is not None
    assert 0.0 < found.exposure <= 1.0
    assert found.turnover == pytest.approx(2 * found.trades * 0.1, rel=0.02)
    assert "short run" in found.note
