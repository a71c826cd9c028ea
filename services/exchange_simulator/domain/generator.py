"""A fictional market: seeded order flow around a hidden tendency that leans on the book, the takers and the price.

Time t in seconds, x = 1e4 * ln(P / P0) in bps, z and w independent standard normals, s = `signal_strength`.

    tendency   da = -a/T dt + sqrt(2/T) dz                T = 12 s, unit variance, seen by nobody
    price      dx = s*mu*a dt + sigma dw - x/R dt         mu = 1.8 bps/s, sigma = 3.5 bps/sqrt(s), R = 6 h
    veil       v  = r*a + sqrt(1 - r^2)*n                 r = 0.9, n a second such process with T = 4 s
    ladder     50 levels a side, one on each tick: level k holds b*(1 + k/12)*exp(0.5 z)*(1 +/- c*v*exp(-k/10)),
               + for bids, c = 0.5, |v| <= 2; about 13 times a second it follows the price and renews part of itself
    takers     Poisson, 7/s; one buys with probability (1 + g*a)/2, g = 0.45, |a| <= 2; sizes are log-normal
    cascades   begin at 1/90 s, fall on one side d = +1 or -1 at random; events at 3/s, after each it ends with
               probability 1/7; each liquidates a position by a taker order that walks the book and moves x by
               J*(s*d + z), J = 2 bps

With s = 0 the same flow is seen and says nothing: given everything visible, the price's expected move is nil but for
the pull of R (0.2 bps in 10 s when x is 500 bps away). With s = 1 a unit of tendency is worth s*mu*T*(1 - exp(-h/T))
bps over h seconds, 10.5 for h = 8 s.

`activity` multiplies the rates of quotes and takers and nothing else: 1 gives about 28 public frames a second, 3.7
about 100. Events lie on whole milliseconds, one on each at most: 52 gives about 1000 frames a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from libs.trading.market import NS_PER_SECOND, Side
from libs.trading.simulation.matching import Match, PriceTimeBook
from services.exchange_simulator.domain.market import Derivative, Forced, Print, Step

LEVELS = 50
MS = 1_000_000
GRID_NS = 500 * MS  # tickers and liquidations go out on this grid
FUNDING_NS = 8 * 3600 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Flow:
    """The process's figures; see the module's formulas. Sizes in lots, rates per second, a tick in quote units."""

    seed: int
    signal_strength: float
    activity: float = 1.0
    start_price: int = 20_000
    tick: float = 1.0
    tendency_s: float = 12.0
    drift_bps: float = 1.8
    volatility_bps: float = 3.5
    reversion_s: float = 6 * 3600.0
    veil: float = 0.9
    veil_s: float = 4.0
    lean: float = 0.5
    taker_lean: float = 0.45
    quote_rate: float = 13.0
    taker_rate: float = 7.0
    level_lots: float = 2000.0
    taker_lots: float = 60.0
    cascade_rate: float = 1 / 90
    cascade_event_rate: float = 3.0
    cascade_end: float = 1 / 7
    cascade_lots: float = 1500.0
    cascade_jump_bps: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.signal_strength <= 5.0:
            raise ValueError(f"signal_strength must lie in 0..5: {self.signal_strength}")
        if not 0.1 <= self.activity <= 100.0:
            raise ValueError(f"activity must lie in 0.1..100: {self.activity}")

    @property
    def quotes_per_s(self) -> float:
        return self.quote_rate * self.activity

    @property
    def takers_per_s(self) -> float:
        return self.taker_rate * self.activity


def _stream(draw: str, rng: np.random.Generator) -> Iterator[float]:
    """Single draws, made by the thousand."""
    while True:
        yield from getattr(rng, draw)(size=8192).tolist()


class Generator:
    """A `Source` of a fictional market; the same `Flow` without foreign orders gives the same steps from `start_ns`."""

    def __init__(self, flow: Flow, start_ns: int) -> None:
        self.book = PriceTimeBook()
        self._flow = flow
        normals, uniforms, waits = np.random.SeedSequence(flow.seed).spawn(3)
        self._normal = _stream("standard_normal", np.random.default_rng(normals))
        self._uniform = _stream("random", np.random.default_rng(uniforms))
        self._wait = _stream("standard_exponential", np.random.default_rng(waits))
        self._decay = [math.exp(-k / 10) for k in range(LEVELS)]
        self._profile = [flow.level_lots * (1 + k / 12) for k in range(LEVELS)]
        self._now = start_ns
        self._latent_ns = start_ns
        self._tendency = next(self._normal)
        self._noise = next(self._normal)
        self._moved_bps = 0.0
        self._cascade: int = 0  # direction of the running cascade, 0 when there is none
        self._forced: list[Forced] = []
        self._open_interest = 50_000.0
        self._best: dict[Side, int | None] = {Side.BUY: None, Side.SELL: None}
        self._holes: dict[Side, set[int]] = {Side.BUY: set(), Side.SELL: set()}
        self._next_grid = start_ns
        self._next_flow = start_ns

    @property
    def next_ns(self) -> int:
        return min(self._next_grid, self._next_flow)

    @property
    def tendency(self) -> float:
        """The hidden state, for measurements only."""
        return self._tendency

    @property
    def price(self) -> float:
        """The hidden price in ticks."""
        return self._flow.start_price * math.exp(self._moved_bps * 1e-4)

    def step(self) -> Step:
        if self._best[Side.BUY] is not None and self._next_grid <= self._next_flow:
            return self._report()
        step = Step(self._next_flow)
        self._advance(self._next_flow)
        if self._best[Side.BUY] is None:
            step.snapshot = True
            self._quote(step)
        else:
            self._flow_event(step)
        step.book_changed = True
        rate = self._flow.quotes_per_s + self._flow.takers_per_s + self._cascade_rate()
        wait_ms = max(1, round(next(self._wait) / rate * 1000))
        self._next_flow += wait_ms * MS
        return step

    def _cascade_rate(self) -> float:
        return self._flow.cascade_event_rate if self._cascade else self._flow.cascade_rate

    def _advance(self, now: int) -> None:
        """Move the hidden state to `now`: the exact step of each process over the time since the last one."""
        dt = (now - self._latent_ns) / NS_PER_SECOND
        if dt <= 0:
            return
        flow = self._flow
        self._latent_ns = now
        drift = flow.signal_strength * flow.drift_bps * self._tendency - self._moved_bps / flow.reversion_s
        self._moved_bps += drift * dt + flow.volatility_bps * math.sqrt(dt) * next(self._normal)
        keep = math.exp(-dt / flow.tendency_s)
        self._tendency = keep * self._tendency + math.sqrt(1 - keep * keep) * next(self._normal)
        keep = math.exp(-dt / flow.veil_s)
        self._noise = keep * self._noise + math.sqrt(1 - keep * keep) * next(self._normal)

    def _flow_event(self, step: Step) -> None:
        flow = self._flow
        pick = next(self._uniform) * (flow.quotes_per_s + flow.takers_per_s + self._cascade_rate())
        if pick < flow.quotes_per_s:
            self._quote(step)
        elif pick < flow.quotes_per_s + flow.takers_per_s:
            lean = max(-2.0, min(2.0, self._tendency)) * flow.taker_lean
            side = Side.BUY if next(self._uniform) < (1 + lean) / 2 else Side.SELL
            self._take(step, side, flow.taker_lots * math.exp(next(self._normal)))
        else:
            self._liquidate(step)

    def _take(self, step: Step, side: Side, size: float) -> int:
        lots = max(1, round(size))
        matches = self.book.take(side, lots, None)
        _note(step, side, matches)
        against = Side.SELL if side is Side.BUY else Side.BUY
        self._holes[against].update(match.price for match in matches)
        return lots

    def _liquidate(self, step: Step) -> None:
        flow = self._flow
        if not self._cascade:
            self._cascade = 1 if next(self._uniform) < 0.5 else -1
        direction = self._cascade
        lots = self._take(
            step, Side.BUY if direction > 0 else Side.SELL, flow.cascade_lots * math.exp(0.8 * next(self._normal))
        )
        position = Side.SELL if direction > 0 else Side.BUY
        bankruptcy = round(self.price * (1 + 0.004 * direction))
        self._forced.append(Forced(step.time_ns, position, lots, bankruptcy))
        self._moved_bps += flow.cascade_jump_bps * (flow.signal_strength * direction + next(self._normal))
        if next(self._uniform) < flow.cascade_end:
            self._cascade = 0

    def _report(self) -> Step:
        step = Step(self._next_grid)
        self._next_grid += GRID_NS
        self._advance(step.time_ns)
        step.forced, self._forced = self._forced, []
        self._open_interest += next(self._normal) * 3.0
        price = self.price * self._flow.tick
        next_funding = (step.time_ns // FUNDING_NS + 1) * FUNDING_NS
        step.derivative = Derivative(price, price, 0.0, next_funding, self._open_interest)
        return step

    def _quote(self, step: Step) -> None:
        """The ladder follows the price: first everything that is withdrawn, then what is new, then what is renewed."""
        price = self.price
        best = {Side.BUY: math.floor(price - 0.25), Side.SELL: math.ceil(price + 0.25)}
        fresh = {side: self._withdraw(side, best[side]) for side in (Side.BUY, Side.SELL)}
        flow = self._flow
        veiled = flow.veil * self._tendency + math.sqrt(1 - flow.veil * flow.veil) * self._noise
        lean = flow.lean * max(-2.0, min(2.0, veiled))
        for side in (Side.BUY, Side.SELL):
            sign = -1 if side is Side.BUY else 1
            tilt = -sign * lean
            first = sign * best[side]
            distances = [key - first for key in fresh[side]]
            distances += [k for k in range(5) if next(self._uniform) < 0.5]
            distances += [int(next(self._uniform) * LEVELS) for _ in range(2)]
            distances += [d for d in (sign * hole - first for hole in self._holes[side]) if 0 <= d < LEVELS]
            self._holes[side].clear()
            for k in dict.fromkeys(distances):
                size = self._profile[k] * math.exp(0.5 * next(self._normal)) * (1 + tilt * self._decay[k])
                taken = self.book.set_anonymous(side, sign * (first + k), max(1, int(size)))
                if taken:
                    _note(step, side, taken)
            self._best[side] = best[side]

    def _withdraw(self, side: Side, best: int) -> range:
        """Take away what the ladder no longer holds; returns the keys (sign * price) that are new to it."""
        sign = -1 if side is Side.BUY else 1
        new, before = sign * best, self._best[side]
        if before is None:
            return range(new, new + LEVELS)
        old = sign * before
        if new > old:
            gone, fresh = range(old, min(new, old + LEVELS)), range(max(old + LEVELS, new), new + LEVELS)
        else:
            gone, fresh = range(max(new + LEVELS, old), old + LEVELS), range(new, min(old, new + LEVELS))
        for key in gone:
            self.book.set_anonymous(side, sign * key, 0)
        return fresh


def _note(step: Step, taker: Side, matches: list[Match]) -> None:
    """Trades of one taker as the public sees them, and those that were ours."""
    for match in matches:
        step.prints.append(Print(taker, match.price, match.lots))
        if match.maker is not None:
            step.matches.append(match)
