"""Planted candidates: a market with a known edge, and models that are honest, wrong or cheating about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from libs.trading.backtest import QuoteRows
from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Scope
from pipelines.retrain.gates.case import Case, Latency, NoChampion, Scored, Split, Window

Floats = NDArray[np.float64]
SECOND = 10**9
START = 1_700_000_000 * SECOND
COSTS = Costs(maker_fee_bps=0.5, taker_fee_bps=1.0, slippage_bps=0.2)
MEMBERS = ("lightgbm", "xgboost", "catboost", "random_forest")


@dataclass(frozen=True)
class Market:
    """A price whose drift follows a hidden state; `state` is what an honest model may know at each row.

    `edge` is the correlation of the expected with the realised return over the horizon (0: no signal).
    """

    seconds: float = 1200.0
    held_out_s: float = 300.0
    interval_s: float = 0.25
    horizon_s: float = 5.0
    memory_s: float = 5.0
    edge: float = 0.6
    horizon_sigma_bps: float = 12.0
    half_spread_bps: float = 0.1
    threshold_sigmas: float = 0.5
    volatility_swing: float = 0.0  # share by which calm and wild half minutes differ from the mean
    seed: int = 1

    @property
    def horizon_rows(self) -> int:
        return round(self.horizon_s / self.interval_s)


@dataclass(frozen=True, eq=False)
class World:
    """Rows of a market: quotes, the true expected and realised return over the horizon, labels."""

    market: Market
    quotes: QuoteRows
    expected: Floats
    spread_of_return: Floats
    future: Floats
    labels: NDArray[np.int64]
    label_end: NDArray[np.int64]
    cut: float

    @property
    def true_probabilities(self) -> Floats:
        return normal_probabilities(self.expected, self.spread_of_return, self.cut)


def a_world(market: Market) -> World:
    rng = np.random.default_rng(market.seed)
    h, n = market.horizon_rows, round(market.seconds / market.interval_s)
    total = n + h + 1
    phi = math.exp(-market.interval_s / market.memory_s)
    shocks = rng.normal(size=total) * math.sqrt(1 - phi**2)
    state = np.empty(total)
    state[0] = rng.normal()
    for i in range(1, total):
        state[i] = phi * state[i - 1] + shocks[i]
    sigma = market.horizon_sigma_bps * 1e-4
    ahead = sum(phi**k for k in range(1, h + 1))  # steps i+1 .. i+h, the position is opened one row later
    drift = market.edge * sigma / ahead * state
    wild = 1 + market.volatility_swing * np.sign(np.sin(2 * np.pi * np.arange(total) * market.interval_s / 60.0 + 0.1))
    noise = rng.normal(size=total - 1) * math.sqrt(sigma**2 * (1 - market.edge**2) / h) * wild[1:]
    steps = np.concatenate(([0.0], drift[:-1] + noise))
    mid = 50_000.0 * np.exp(np.cumsum(steps))
    future = mid[h + 1 : n + h + 1] / mid[1 : n + 1] - 1.0
    expected = market.edge * sigma * state[:n]
    ahead_wild = np.sqrt(np.convolve(wild**2, np.ones(h), "valid")[1 : n + 1] / h)
    residual = float(np.std(future - expected)) * ahead_wild / math.sqrt(float(np.mean(ahead_wild**2)))
    cut = market.threshold_sigmas * float(future.std())
    labels = np.where(future >= cut, 2, np.where(future <= -cut, 0, 1)).astype(np.int64)
    as_of = START + (np.arange(n) * market.interval_s * SECOND).astype(np.int64)
    half = mid[:n] * market.half_spread_bps * 1e-4
    zeros = np.zeros(n, np.int64)
    quotes = QuoteRows(as_of, as_of + 2_000_000, zeros, zeros, mid[:n] - half, mid[:n] + half)
    end = as_of + int((market.horizon_s + market.interval_s) * SECOND)
    return World(market, quotes, expected, residual, future, labels, end, cut)


def normal_probabilities(expected: Floats, spread: float | Floats, cut: float) -> Floats:
    """Down, flat, up of a normal return with this mean and spread, against +-cut."""
    erf = np.vectorize(math.erf)
    up = 0.5 * (1 - erf((cut - expected) / spread / math.sqrt(2)))
    down = 0.5 * (1 + erf((-cut - expected) / spread / math.sqrt(2)))
    return np.stack((down, 1 - up - down, up), axis=1)


def scored(world: World, probabilities: Floats, members: dict[str, Floats] | None = None) -> tuple[Scored, Scored]:
    """The out-of-fold rows and the hold-out, purged by the label's end."""
    quotes, market = world.quotes, world.market
    border = hold_out_start(market)
    earlier = np.flatnonzero(world.label_end <= border)
    later = np.flatnonzero(quotes.as_of >= border)
    members = members or dict.fromkeys(MEMBERS, probabilities)
    first, second = (
        Scored(
            QuoteRows(*(getattr(quotes, f)[at] for f in ("as_of", "known_at", "instrument", "session", "bid", "ask"))),
            probabilities[at],
            {name: p[at] for name, p in members.items()},
            world.labels[at],
            world.label_end[at],
        )
        for at in (earlier, later)
    )
    return first, second


def hold_out_start(market: Market) -> int:
    return START + int((market.seconds - market.held_out_s) * SECOND)


def a_case(world: World, probabilities: Floats, **changes: object) -> Case:
    """A complete case around these probabilities; everything known and in order unless changed."""
    market = world.market
    border = hold_out_start(market)
    earlier, hold_out = scored(world, probabilities)
    case = Case(
        provenance=Provenance.SIMULATED,
        needed_scope=Scope.SIMULATED,
        gaps=0,
        label_kind=LabelKind.DIRECTION,
        horizon_ns=int(market.horizon_s * SECOND),
        emission_interval_ns=int(market.interval_s * SECOND),
        threshold=0.4,
        costs=COSTS,
        window=Window(border, border + int((market.held_out_s + 1) * SECOND)),
        earlier=earlier,
        hold_out=hold_out,
        splits=(Split("fold 1", border - 400 * SECOND, border - 380 * SECOND), Split("outer", border - SECOND, border)),
        served_difference=0.0,
        trials=1,
        configurations=None,
        latency=Latency(0.4, 500),
        champion=NoChampion(),
        shadow_passed=None,
    )
    return replace(case, **changes)  # type: ignore[arg-type]
