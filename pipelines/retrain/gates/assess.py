"""The figures of one case: the model, its members and the naive rules over the same rows at the same costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from libs.trading import metrics
from libs.trading.backtest import Run, Terms, naive_runs, run
from libs.trading.bootstrap import Interval, TooShort, Uniform, draw_blocks, sum_interval
from pipelines.retrain.gates.case import Case, LiveChampion, score
from pipelines.retrain.gates.policy import Policy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Draws = Callable[[str], Uniform]  # a fresh seeded source of numbers for a name, so that lines do not disturb each other
Bounded = Interval | TooShort
Totals = Callable[[Floats], Bounded]

PASSIVE = ("buy and hold", "majority class")  # always in the market on one side: their profit is the market's own move
FORCED_QUANTILE = 0.9
ENSEMBLE = "ensemble"
DEFAULT_BINS, DEFAULT_FACTOR = 10, 2.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """How good the probabilities are: direction on moved rows, skill against climatology, calibration."""

    auc: float | None
    brier_skill: float | None
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Against:
    """The model's net profit less a rival's, in quote units."""

    name: str
    rival: Run
    excess: Bounded


@dataclass(frozen=True, slots=True)
class Forced:
    """What a model that says "never" would have done from a threshold that a tenth of its earlier scores reach; for the
    report alone, no line reads it. `costly` pays the higher costs."""

    threshold: float
    model: Run
    net: Bounded
    costly: Run
    costly_net: Bounded


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """Everything that the lines compare with their limits; money in quote units."""

    case: Case
    block_ns: int
    period_ns: int
    model: Run
    net: Bounded
    costly: Run
    costly_net: Bounded
    cost_factor: float
    forced: Forced | None
    naive: tuple[Against, ...]
    naive_before: str
    direction: Bounded
    forecast: Forecast
    climatology: Floats
    members: Mapping[str, Forecast]
    member_runs: Mapping[str, Run]
    period_returns: Floats
    champion: Against | None
    instruments: int

    @property
    def naive_rival(self) -> Against:
        """The timing rule that earned most before the hold-out: chosen without hindsight, as the model was."""
        return next(against for against in self.naive if against.name == self.naive_before)

    @property
    def span_ns(self) -> int:
        return int(self.model.times[-1] - self.model.times[0])


def assess(case: Case, policy: Policy, draws: Draws) -> Assessment:
    """Run everything once. `draws` gives a seeded source per name: the same case and policy give the same figures."""
    hold_out, sampling = case.hold_out, policy.sampling
    terms = _terms(case, policy)
    factor = policy.limit("higher_costs", "factor", DEFAULT_FACTOR)
    costly_terms = replace(terms, costs=terms.costs.times(factor))
    block_ns, period_ns = _block_ns(case, policy), int(policy.account.period_s * 1e9)
    model, costly = (run(hold_out.quotes, hold_out.score, case.threshold, t) for t in (terms, costly_terms))
    total = _totals(model.times, block_ns, policy, draws("profit"))
    climatology = metrics.class_frequencies(case.earlier.labels)
    forecasts = _forecasts(case, climatology, int(policy.limit("calibration", "bins", DEFAULT_BINS)))
    return Assessment(
        case=case,
        block_ns=block_ns,
        period_ns=period_ns,
        model=model,
        net=total(model.profit),
        costly=costly,
        costly_net=total(costly.profit),
        cost_factor=factor,
        forced=_forced(case, terms, costly_terms, total),
        naive=_naive(case, climatology, terms, model, total),
        naive_before=_naive_before(case, climatology, terms),
        direction=metrics.directional_auc(
            hold_out.probabilities,
            hold_out.labels,
            model.times,
            block_ns,
            sampling.draws,
            sampling.confidence,
            draws("direction"),
        ),
        forecast=forecasts.pop(ENSEMBLE),
        climatology=climatology,
        members=forecasts,
        member_runs={n: run(hold_out.quotes, score(p), case.threshold, terms) for n, p in hold_out.members.items()},
        period_returns=metrics.per_period(model.times, model.profit, period_ns) / terms.balance_quote,
        champion=_champion(case, terms, model, total),
        instruments=_instruments(case),
    )


def _block_ns(case: Case, policy: Policy) -> int:
    """At least the label's horizon, as labels overlap that far, and at least the policy's."""
    sampling = policy.sampling
    horizons = int(sampling.horizons_per_block * case.horizon_ns)
    return max(horizons, int(sampling.block_at_least_s * 1e9), case.emission_interval_ns)


def _totals(times: Ints, block_ns: int, policy: Policy, uniform: Uniform) -> Totals:
    """The interval of a total over the hold-out's rows, always over the same drawn blocks, so that totals compare."""
    blocks = draw_blocks(times, block_ns, policy.sampling.draws, uniform)

    def total(profit: Floats) -> Bounded:
        if isinstance(blocks, TooShort):
            return blocks
        return sum_interval(times, profit, blocks, policy.sampling.confidence)

    return total


def _naive(case: Case, climatology: Floats, terms: Terms, model: Run, total: Totals) -> tuple[Against, ...]:
    rules = naive_runs(case.hold_out.quotes, int(np.argmax(climatology)), terms)
    return tuple(Against(rule.name, rule.run, total(model.profit - rule.run.profit)) for rule in rules)


def _naive_before(case: Case, climatology: Floats, terms: Terms) -> str:
    """The timing rule that earned most over the rows before the hold-out."""
    rules = naive_runs(case.earlier.quotes, int(np.argmax(climatology)), terms)
    return max((rule for rule in rules if rule.name not in PASSIVE), key=lambda rule: rule.run.net).name


def _forced(case: Case, terms: Terms, costly: Terms, total: Totals) -> Forced | None:
    if case.threshold is not None:
        return None
    threshold = float(np.quantile(np.abs(case.earlier.score), FORCED_QUANTILE))
    plain, dear = (run(case.hold_out.quotes, case.hold_out.score, threshold, t) for t in (terms, costly))
    return Forced(threshold, plain, total(plain.profit), dear, total(dear.profit))


def _terms(case: Case, policy: Policy) -> Terms:
    account = policy.account
    unit = account.balance_quote * account.invested_share / _instruments(case)
    return Terms(case.costs, case.horizon_ns, int(account.latency_ms * 1e6), unit, account.balance_quote)


def _instruments(case: Case) -> int:
    return int(np.unique(case.hold_out.quotes.instrument).size)


def _forecasts(case: Case, climatology: Floats, bins: int) -> dict[str, Forecast]:
    rows = case.hold_out
    return {
        name: _forecast(p, rows.labels, climatology, bins)
        for name, p in {ENSEMBLE: rows.probabilities, **rows.members}.items()
    }


def _forecast(probabilities: Floats, labels: Ints, climatology: Floats, bins: int) -> Forecast:
    _, share, up = metrics.directional(probabilities, labels)
    return Forecast(
        metrics.auc(share, up),
        metrics.brier_skill(probabilities, labels, climatology),
        metrics.calibration_error(probabilities, labels, bins),
    )


def _champion(case: Case, terms: Terms, model: Run, total: Totals) -> Against | None:
    """The champion's own recorded scores; where it said nothing it is taken to have said 'no edge'."""
    champion = case.champion
    if not isinstance(champion, LiveChampion):
        return None
    rival = run(case.hold_out.quotes, np.nan_to_num(champion.score), champion.threshold, terms)
    return Against(champion.digest, rival, total(model.profit - rival.profit))
