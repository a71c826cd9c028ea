"""A run of the trading rule over scored rows: decide at as-of, fill at a later quote, mark to market at each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from libs.trading import metrics
from libs.trading.fees import BPS, Costs
from libs.trading.strategy import Holding, Target, direction_target

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NS_PER_YEAR = 365.25 * 86400e9
ALWAYS = 0.5  # the threshold of naive rules, whose scores are -1, 0 or 1
NOTHING = Holding(Target.FLAT, None)


@dataclass(frozen=True, slots=True, eq=False)
class QuoteRows:
    """When and at what prices one could decide and trade; arrays of shape (n,), `instrument` and `session` are codes.

    `as_of` and `known_at` are ns since 1970 UTC in session time, `bid` and `ask` the quote at `as_of`. Rows are sorted
    by `as_of`, and strictly so within an instrument and session. Raises ValueError where one of this does not hold.
    """

    as_of: Ints
    known_at: Ints
    instrument: Ints
    session: Ints
    bid: Floats
    ask: Floats

    def __post_init__(self) -> None:
        if (
            not len({a.shape for a in (self.as_of, self.known_at, self.instrument, self.session, self.bid, self.ask)})
            == 1
        ):
            raise ValueError("columns differ in length")
        if self.as_of.size and np.diff(self.as_of).min(initial=0) < 0:
            raise ValueError("rows must be sorted by as_of")
        if np.any(self.known_at < self.as_of):
            raise ValueError("a row was known before its as_of")
        if not np.all((self.bid > 0.0) & (self.ask >= self.bid) & np.isfinite(self.ask)):
            raise ValueError("a row has no quote, or a crossed one")
        if any(np.any(np.diff(self.as_of[place]) <= 0) for place in self.stretches()):
            raise ValueError("an instrument has two rows at one as_of")

    @property
    def mid(self) -> Floats:
        return (self.bid + self.ask) / 2.0

    def stretches(self) -> Iterator[NDArray[np.intp]]:
        """The places of the rows of each instrument in each session, in time order."""
        order = np.lexsort((self.as_of, self.session, self.instrument))
        both = np.stack((self.instrument[order], self.session[order]))
        cuts = np.flatnonzero(np.any(np.diff(both, axis=1) != 0, axis=0)) + 1
        yield from (part for part in np.split(order, cuts) if part.size)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run trades: costs, the label's horizon, the delay from `known_at` to the order's arrival, and the size."""

    costs: Costs
    horizon_ns: int
    latency_ns: int
    unit_quote: float
    balance_quote: float

    def __post_init__(self) -> None:
        if self.horizon_ns <= 0 or self.latency_ns < 0 or self.unit_quote <= 0.0 or self.balance_quote <= 0.0:
            raise ValueError("horizon, unit and balance must be positive, latency not negative")


class Exit(Enum):
    HORIZON = "horizon"
    OPPOSITE = "opposite"
    END = "end of the rows"


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One position from entry to exit; prices include slippage, `net` and `fees` are in quote units, times in ns."""

    instrument: int
    direction: Target
    decided_as_of: int
    entry_time: int
    entry_price: float
    exit_time: int
    exit_price: float
    quantity: float
    fees: float
    net: float
    exit: Exit


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Mark-to-market profit of each row (quote units, parallel to the rows' sorted `times`) and the closed trades."""

    times: Ints
    profit: Floats
    trades: tuple[RoundTrip, ...]
    held_ns: int
    span_ns: int
    traded_notional: float
    balance_quote: float

    @property
    def net(self) -> float:
        return float(self.profit.sum())

    @property
    def equity(self) -> Floats:
        """Equity before the first row and after each, float64 (n + 1,)."""
        return np.concatenate(([self.balance_quote], self.balance_quote + np.cumsum(self.profit)))

    def performance(self, period_ns: int) -> metrics.Performance:
        """The run in figures; ratios over totals of `period_ns` relative to the opening balance."""
        returns = metrics.per_period(self.times, self.profit, period_ns) / self.balance_quote
        net = np.array([trade.net for trade in self.trades])
        equity = self.equity
        years = float(self.times[-1] - self.times[0]) / NS_PER_YEAR if self.times.size else 0.0
        return metrics.Performance(
            net=self.net,
            trades=len(self.trades),
            sharpe=metrics.sharpe(returns),
            sortino=metrics.sortino(returns),
            calmar=metrics.calmar(equity, years),
            profit_factor=metrics.profit_factor(net),
            win_rate=metrics.win_rate(net),
            max_drawdown=metrics.max_drawdown(equity),
            turnover=metrics.turnover(self.traded_notional, self.balance_quote),
            exposure=metrics.exposure(self.held_ns, self.span_ns),
            period_ns=period_ns,
            note=metrics.short_run_note(len(self.trades), returns.size),
        )


def run(rows: QuoteRows, score: Floats, threshold: float | None, terms: Terms) -> Run:
    """Trade `score` (n,) = p_up - p_down with the platform's rule; a decision sees its own row and earlier ones only.

    An order fills at the first row of the same instrument and session at or after `known_at` + latency, never at the
    row of its decision, as a taker. No decision is taken while an order is on its way. What is held at the last row is
    closed there. Raises ValueError for scores that are not finite numbers in [-1, 1].
    """
    if score.shape != rows.as_of.shape or not np.all(np.abs(score) <= 1.0):
        raise ValueError("scores must be one number in [-1, 1] per row")
    profit = np.zeros(rows.as_of.size)
    trades: list[RoundTrip] = []
    held = span = 0
    notional = 0.0
    for place in rows.stretches():
        stretch = _Stretch(rows, place, terms)
        profit[place] = stretch.trade(score[place], threshold)
        trades += stretch.trades
        held += sum(t.exit_time - t.entry_time for t in stretch.trades)
        span += int(rows.as_of[place[-1]] - rows.as_of[place[0]])
        notional += stretch.notional
    trades.sort(key=lambda t: (t.entry_time, t.instrument))
    return Run(rows.as_of, profit, tuple(trades), held, span, notional, terms.balance_quote)


class _Stretch:
    """One instrument in one session while the rule walks over it."""

    def __init__(self, rows: QuoteRows, place: NDArray[np.intp], terms: Terms) -> None:
        self.terms = terms
        self.instrument = int(rows.instrument[place[0]])
        self.as_of: list[int] = rows.as_of[place].tolist()
        self.mid = rows.mid[place]
        slip = terms.costs.slippage_bps * BPS
        self.buy_at = rows.ask[place] * (1.0 + slip)
        self.sell_at = rows.bid[place] * (1.0 - slip)
        arrival = np.searchsorted(rows.as_of[place], rows.known_at[place] + terms.latency_ns)
        self.fill_row: list[int] = np.maximum(arrival, np.arange(place.size) + 1).tolist()
        self.quantity = np.zeros(place.size)  # signed, held from this row to the next
        self.cost = np.zeros(place.size)  # against the mid, fees included
        self.trades: list[RoundTrip] = []
        self.notional = 0.0
        self.opened: tuple[int, int, float, float] | None = None  # decided, row, quantity, price

    def trade(self, score: Floats, threshold: float | None) -> Floats:
        """Walk over the rows; profit of each row against the row before it, (n,)."""
        scores: list[float] = score.tolist()
        as_of, horizon, last = self.as_of, self.terms.horizon_ns, len(scores) - 1
        holding, i = NOTHING, 0
        while i <= last:
            target = direction_target(scores[i], threshold, holding, as_of[i], horizon)
            fill = self.fill_row[i]
            if target is holding.direction:
                i += 1
            elif fill > last:
                break  # the order would arrive after the last quote
            else:
                if holding.direction is not Target.FLAT:
                    self._close(fill, Exit.HORIZON if target is Target.FLAT else Exit.OPPOSITE)
                if target is not Target.FLAT:
                    self._open(fill, target, as_of[i])
                holding = NOTHING if target is Target.FLAT else Holding(target, as_of[i])
                i = fill
        if self.opened is not None:
            self._close(last, Exit.END)
        moved = np.concatenate(([0.0], self.quantity[:-1] * np.diff(self.mid)))
        profit: Floats = moved - self.cost
        return profit

    def _open(self, row: int, target: Target, decided: int) -> None:
        quantity = float(target) * self.terms.unit_quote / float(self.mid[row])
        price = self._pay(row, quantity)
        self.opened = (decided, row, quantity, price)

    def _close(self, row: int, reason: Exit) -> None:
        assert self.opened is not None
        decided, entry, quantity, entry_price = self.opened
        price = self._pay(row, -quantity)
        fees = abs(quantity) * (price + entry_price) * self.terms.costs.taker_fee_bps * BPS
        self.trades.append(
            RoundTrip(
                instrument=self.instrument,
                direction=Target.LONG if quantity > 0 else Target.SHORT,
                decided_as_of=decided,
                entry_time=self.as_of[entry],
                entry_price=entry_price,
                exit_time=self.as_of[row],
                exit_price=price,
                quantity=abs(quantity),
                fees=fees,
                net=quantity * (price - entry_price) - fees,
                exit=reason,
            )
        )
        self.opened = None
        self.quantity[entry:row] = quantity

    def _pay(self, row: int, quantity: float) -> float:
        """Take `quantity` (signed) at this row's quote; returns the price with slippage."""
        price = float(self.buy_at[row] if quantity > 0 else self.sell_at[row])
        traded = abs(quantity) * price
        self.cost[row] += quantity * (price - float(self.mid[row])) + traded * self.terms.costs.taker_fee_bps * BPS
        self.notional += traded
        return price


@dataclass(frozen=True, slots=True)
class NaiveRun:
    """One rule that knows nothing of the model, over the same rows at the same costs."""

    name: str
    run: Run


def naive_runs(rows: QuoteRows, majority: int, terms: Terms) -> Sequence[NaiveRun]:
    """Staying out, holding from the first row to the last, following and opposing the last horizon's move, and always
    trading the class that was most frequent before the window (`majority`: 0 down, 1 flat, 2 up; flat stays out)."""
    momentum = momentum_score(rows, terms.horizon_ns)
    ones = np.ones(rows.as_of.size)
    forever = Terms(terms.costs, 2**62, terms.latency_ns, terms.unit_quote, terms.balance_quote)
    return (
        NaiveRun("stay out", run(rows, 0.0 * ones, None, terms)),
        NaiveRun("buy and hold", run(rows, ones, ALWAYS, forever)),
        NaiveRun("momentum", run(rows, momentum, ALWAYS, terms)),
        NaiveRun("reversal", run(rows, -momentum, ALWAYS, terms)),
        NaiveRun("majority class", run(rows, (majority - 1) * ones, ALWAYS, terms)),
    )


def momentum_score(rows: QuoteRows, horizon_ns: int) -> Floats:
    """Sign of the mid's move over the last horizon, 0 where the stretch is younger than that; float64 (n,)."""
    score = np.zeros(rows.as_of.size)
    mid = rows.mid
    for place in rows.stretches():
        times = rows.as_of[place]
        before = np.searchsorted(times, times - horizon_ns, side="right") - 1
        known = before >= 0
        score[place[known]] = np.sign(mid[place[known]] - mid[place[before[known]]])
    return score
