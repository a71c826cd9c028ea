"""The fictional market: the same seed is the same market, its signal pays at strength 1 and is nothing at 0."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from libs.trading.market import NS_PER_SECOND, Side
from services.exchange_simulator.domain.generator import LEVELS, Flow, Generator
from services.exchange_simulator.domain.market import Step

HORIZON = 32  # quarter seconds
COSTS_BPS = 0.8 + 2.0  # the spread and the taker's fee twice


def steps(generator: Generator, seconds: int) -> list[Step]:
    played = []
    while generator.next_ns < seconds * NS_PER_SECOND:
        played.append(generator.step())
    return played


def observed(strength: float, seed: int, seconds: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Depth imbalance of five levels, and the mid's return in bps over the 8 s after it, four times a second."""
    generator = Generator(Flow(seed, strength), 0)
    mids: list[float] = []
    imbalances: list[float] = []
    quarter = NS_PER_SECOND // 4
    while generator.next_ns < seconds * NS_PER_SECOND:
        generator.step()
        if generator.next_ns // quarter > len(mids):
            bids = sum(lots for _, lots in generator.book.bids.levels(5))
            asks = sum(lots for _, lots in generator.book.asks.levels(5))
            best = (generator.book.bids.best() or 0) + (generator.book.asks.best() or 0)
            mids.append(best / 2)
            imbalances.append((bids - asks) / (bids + asks))
    returns = 1e4 * np.diff(np.log(np.array(mids)), prepend=math.log(mids[0]))
    ahead = np.cumsum(returns)[HORIZON:] - np.cumsum(returns)[:-HORIZON]
    return np.array(imbalances)[:-HORIZON], ahead


def test_the_same_seed_plays_the_same_steps_from_any_start() -> None:
    first, second = (steps(Generator(Flow(3, 1.0), 0), 60) for _ in range(2))
    assert first == second
    assert steps(Generator(Flow(4, 1.0), 0), 60) != first
    later = Generator(Flow(3, 1.0), 1000 * NS_PER_SECOND)
    shifted = [later.step() for _ in first]
    assert [s.time_ns - 1000 * NS_PER_SECOND for s in shifted] == [s.time_ns for s in first]
    assert [s.prints for s in shifted] == [s.prints for s in first]


def test_the_market_of_a_seed_is_the_one_that_it_always_was() -> None:
    played = steps(Generator(Flow(7, 1.0), 0), 60)
    seen = [(s.time_ns, s.snapshot, [(p.price, p.lots) for p in s.prints]) for s in played]
    assert hashlib.sha256(repr(seen).encode()).hexdigest()[:16] == "f5bf2d39712bf3cd"


@pytest.mark.parametrize(("activity", "frames_per_s"), [(1.0, 28), (3.7, 100), (52.0, 1000)])
def test_activity_sets_the_rate_of_frames(activity: float, frames_per_s: int) -> None:
    played = steps(Generator(Flow(7, 1.0, activity=activity), 0), 20)
    frames = sum(s.book_changed + bool(s.prints) + bool(s.forced) + (s.derivative is not None) for s in played)
    assert frames / 20 == pytest.approx(frames_per_s, rel=0.1)


def test_it_quotes_fifty_levels_a_side_and_never_crosses() -> None:
    generator = Generator(Flow(5, 1.0), 0)
    for _ in steps(generator, 120):
        bid, ask = generator.book.bids.best(), generator.book.asks.best()
        assert bid is not None
        assert ask is not None
        assert bid < ask
        assert len(generator.book.bids.keys) <= LEVELS
        assert len(generator.book.asks.keys) <= LEVELS


def test_it_has_the_pace_of_a_market() -> None:
    played = steps(Generator(Flow(6, 1.0), 0), 600)
    books, trades = sum(step.book_changed for step in played), sum(bool(step.prints) for step in played)
    assert 10 <= books / 600 <= 25
    assert 5 <= trades / 600 <= 10
    forced = [one for step in played for one in step.forced]
    assert {one.side for one in forced} == {Side.BUY, Side.SELL}
    assert all(step.time_ns % (NS_PER_SECOND // 2) == 0 for step in played if step.forced)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_signal_pays_after_costs_at_strength_one(seed: int) -> None:
    imbalance, ahead = observed(1.0, seed)
    assert np.corrcoef(imbalance, ahead)[0, 1] > 0.3
    strong = np.abs(imbalance) > np.quantile(np.abs(imbalance), 0.6)
    edge = float(np.mean(np.sign(imbalance[strong]) * ahead[strong]))
    assert edge > 2 * COSTS_BPS


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_flow_says_nothing_at_strength_zero(seed: int) -> None:
    imbalance, ahead = observed(0.0, seed)
    assert abs(np.corrcoef(imbalance, ahead)[0, 1]) < 0.12
    strong = np.abs(imbalance) > np.quantile(np.abs(imbalance), 0.6)
    assert abs(float(np.mean(np.sign(imbalance[strong]) * ahead[strong]))) < COSTS_BPS


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="signal_strength"):
        Flow(1, -0.1)
    with pytest.raises(ValueError, match="activity"):
        Flow(1, 1.0, activity=0.0)
