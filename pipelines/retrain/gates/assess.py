"""The figures of one case: the model, its members and the naive rules over the same rows at the same costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.trading import metrics
from libs.trading.backtest import Run, Terms, naive_runs, run
from libs.trading.bootstrap import Interval, TooShort, Uniform, draw_blocks, sum_interval
from pipelines.retrain.gates.case import Case, LiveChampion, Scored, score
from pipelines.retrain.gates.policy import Policy

Floats = NDArray[np.float64]
Draws = Callable[[str], Uniform]  # a fresh seeded source of numbers for a name, so that lines do not disturb each other
Bounded = Interval | TooShort

PASSIVE = ("buy and hold", "majority class")  # always in the market on one side: their profit is the market's own move
FORCED_QUANTILE = 0.9
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
    hold_out = case.hold_out
    terms = _terms(case, policy)
    factor = policy.limit("higher_costs", "factor", DEFAULT_FACTOR)
    costly_terms = Terms(
        terms.costs.times(factor), terms.horizon_ns, terms.latency_ns, terms.unit_quote, terms.balance_quote
    )
    sampling = policy.sampling
    horizons = int(sampling.horizons_per_block * case.horizon_ns)
    block_ns = max(horizons, int(sampling.block_at_least_s * 1e9), case.emission_interval_ns)
    period_ns = int(policy.account.period_s * 1e9)
    model = run(hold_out.quotes, hold_out.score, case.threshold, terms)
    costly = run(hold_out.quotes, hold_out.score, case.threshold, costly_terms)
    climatology = metrics.class_frequencies(case.earlier.labels)

    blocks = draw_blocks(model.times, block_ns, sampling.draws, draws("profit"))

    def total(profit: Floats) -> Bounded:
        if isinstance(blocks, TooShort):
            return blocks
        return sum_interval(model.times, profit, blocks, sampling.confidence)

    majority = int(np.argmax(climatology))
    rules = naive_runs(hold_out.quotes, majority, terms)
    timing = [rule for rule in naive_runs(case.earlier.quotes, majority, terms) if rule.name not in PASSIVE]
    before = max(timing, key=lambda rule: rule.run.net)
    bins = int(policy.limit("calibration", "bins", DEFAULT_BINS))
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
        naive=tuple(Against(r.name, r.run, total(model.profit - r.run.profit)) for r in rules),
        naive_before=before.name,
        direction=metrics.directional_auc(
            hold_out.probabilities,
            hold_out.labels,
            model.times,
            block_ns,
            sampling.draws,
            sampling.confidence,
            draws("direction"),
        ),
        forecast=_forecast(hold_out.probabilities, hold_out, climatology, bins),
        climatology=climatology,
        members={name: _forecast(p, hold_out, climatology, bins) for name, p in hold_out.members.items()},
        member_runs={
            name: run(hold_out.quotes, score(p), case.threshold, terms) for name, p in hold_out.members.items()
        },
        period_returns=metrics.per_period(model.times, model.profit, period_ns) / terms.balance_quote,
        champion=_champion(case, terms, model, total),
        instruments=int(np.unique(hold_out.quotes.instrument).size),
    )


def _forced(case: Case, terms: Terms, costly: Terms, total: Callable[[Floats], Bounded]) -> Forced | None:
    if case.threshold is not None:
        return None
    threshold = float(np.quantile(np.abs(case.earlier.score), FORCED_QUANTILE))
    plain, dear = (run(case.hold_out.quotes, case.hold_out.score, threshold, t) for t in (terms, costly))
    return Forced(threshold, plain, total(plain.profit), dear, total(dear.profit))


def _terms(case: Case, policy: Policy) -> Terms:
    account = policy.account
    instruments = int(np.unique(case.hold_out.quotes.instrument).size)
    unit = account.balance_quote * account.invested_share / instruments
    return Terms(case.costs, case.horizon_ns, int(account.latency_ms * 1e6), unit, account.balance_quote)


def _forecast(probabilities: Floats, rows: Scored, climatology: Floats, bins: int) -> Forecast:
    _, share, up = metrics.directional(probabilities, rows.labels)
    return Forecast(
        metrics.auc(share, up),
        metrics.brier_skill(probabilities, rows.labels, climatology),
        metrics.calibration_error(probabilities, rows.labels, bins),
    )


def _champion(case: Case, terms: Terms, model: Run, total: Callable[[Floats], Bounded]) -> Against | None:
    """The champion's own recorded scores; where it said nothing it is taken to have said 'no edge'."""
    champion = case.champion
    if not isinstance(champion, LiveChampion):
        return None
    rival = run(case.hold_out.quotes, np.nan_to_num(champion.score), champion.threshold, terms)
    return Against(champion.digest, rival, total(model.profit - rival.profit))
