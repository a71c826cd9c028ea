"""The lines of evidence: each compares one figure of an assessment with the policy's limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from libs.trading import metrics
from libs.trading.bootstrap import TooShort
from libs.trading.scoring import LabelKind, Scope, scope_of_data
from pipelines.retrain.gates.assess import Assessment, Bounded
from pipelines.retrain.gates.case import LiveChampion, NoChampion
from pipelines.retrain.gates.lines import Line, NotAsked, figure, passed, unchecked
from pipelines.retrain.gates.policy import Limits, Policy

SERVED_TOLERANCE = 1e-5  # of one probability: integrity's own limit after calibration
DIRECTIONAL = (LabelKind.DIRECTION, LabelKind.TRIPLE_BARRIER)
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the policy says of the candidate: the scope granted (NONE when refused) and every line."""

    scope: Scope
    lines: tuple[Line, ...]
    not_asked: tuple[NotAsked, ...]


def evidence(a: Assessment, policy: Policy) -> Evidence:
    """Judge every line that the policy asks; scope is the lower of the policy's cap and what the data can give."""
    lines = tuple(LINES[name](a, limits, policy) for name, limits in policy.asked.items())
    return Evidence(_granted(a, policy) if passed(lines) else Scope.NONE, lines, policy.not_asked)


def _granted(a: Assessment, policy: Policy) -> Scope:
    return min(policy.scope_cap, scope_of_data(a.case.provenance))


# --- what it was made from -----------------------------------------------------------------------------------


def provenance(a: Assessment, _: Limits, policy: Policy) -> Line:
    granted, needed = _granted(a, policy), a.case.needed_scope
    reason = (
        f"{a.case.provenance.name} data under a policy up to {policy.scope_cap.name}; the accounts need {needed.name}"
    )
    return Line("provenance", Scope.NONE < needed <= granted, granted.name, f"at least {needed.name}", reason)


def gap_free(a: Assessment, _: Limits, __: Policy) -> Line:
    gaps = a.case.gaps
    if gaps is None:
        return unchecked("gap_free", "0 gaps", "no one certified the dataset")
    return Line("gap_free", gaps == 0, f"{gaps} gaps", "0 gaps", "gaps in the feed between the first row and the last")


def label_kind(a: Assessment, _: Limits, __: Policy) -> Line:
    kind = a.case.label_kind
    if kind not in DIRECTIONAL:
        return unchecked("label_kind", "DIRECTION or TRIPLE_BARRIER", f"the gate has no lines for {kind.name} yet")
    return Line("label_kind", True, kind.name, "DIRECTION or TRIPLE_BARRIER", "the lines judge a direction")


def outer_hold_out(a: Assessment, _: Limits, __: Policy) -> Line:
    """Every label that anything was fitted on ended before the hold-out began, at each nested split too."""
    name, asked = "outer_hold_out", "labels end before the first tested row"
    case, window = a.case, a.case.window
    if window is None or case.splits is None:
        return unchecked(name, asked, "the window or the splits of the fit were not recorded")
    rows = case.hold_out.quotes.as_of
    if rows[0] < window.from_ns or rows[-1] >= window.to_ns:
        return Line(
            name, False, "rows outside", asked, "the judged rows are not those of the bundle's evaluation window"
        )
    if not case.splits:
        return unchecked(name, asked, "no split was recorded")
    late = [s.name for s in case.splits if s.last_label_end > s.first_test_as_of]
    if int(case.earlier.label_end.max()) > window.from_ns:
        late.append("hold-out (out-of-fold rows)")
    if max(s.first_test_as_of for s in case.splits) < window.from_ns:
        return unchecked(name, asked, "no recorded split ends at the hold-out")
    found = f"{len(case.splits)} splits, {len(late)} overlap"
    return Line(
        name, not late, found, asked, f"overlapping: {', '.join(late)}" if late else "purged by each label's end"
    )


def served_as_judged(a: Assessment, _: Limits, __: Policy) -> Line:
    difference = a.case.served_difference
    asked = f"differs at most {SERVED_TOLERANCE:g}"
    if difference is None:
        return unchecked("served_as_judged", asked, "the finished bundle was not run over the hold-out")
    ok = difference <= SERVED_TOLERANCE
    return Line(
        "served_as_judged", ok, figure(difference, 3), asked, "the judged probabilities are those of the bundle"
    )


def threshold(a: Assessment, _: Limits, __: Policy) -> Line:
    value = a.case.threshold
    reason = (
        "the bundle says at what score it trades" if value is not None else "the fit found no paying threshold: 'never'"
    )
    return Line("threshold", value is not None, "never" if value is None else figure(value), "a threshold", reason)


# --- how much of it ------------------------------------------------------------------------------------------


def span(a: Assessment, limits: Limits, _: Policy) -> Line:
    least, found = limits["at_least_s"], a.span_ns / 1e9
    return Line(
        "span", found >= least, _duration(found), f"at least {_duration(least)}", "length of the outer hold-out"
    )


def trades(a: Assessment, limits: Limits, _: Policy) -> Line:
    count, least = len(a.model.trades), int(limits["at_least"])
    reason = "one position per instrument at a time, so trades of an instrument never overlap"
    return Line("trades", count >= least, str(count), f"at least {least}", reason)


# --- the forecast --------------------------------------------------------------------------------------------


def direction(a: Assessment, limits: Limits, _: Policy) -> Line:
    """Direction on moved rows only: volatility alone gives one-vs-rest AUC far above .5, and .5 here."""
    return _bound(
        "direction", a.direction, limits["above"], "AUC of p_up/(p_up+p_down) on rows that moved, lower bound"
    )


def suspicion(a: Assessment, limits: Limits, _: Policy) -> Line:
    most = limits["at_most"]
    if isinstance(a.direction, TooShort):
        return Line("suspicion", False, "no interval", f"AUC at most {most:g}", str(a.direction))
    found = a.direction.point
    reason = "too good for these data: taken for a look into the future until explained"
    return Line(
        "suspicion", found <= most, figure(found), f"AUC at most {most:g}", reason if found > most else "plausible"
    )


def brier_skill(a: Assessment, limits: Limits, _: Policy) -> Line:
    found, least = a.forecast.brier_skill, limits["above"]
    reason = "probabilities against the class frequencies of the stretch before the hold-out"
    return Line("brier_skill", found is not None and found > least, figure(found), f"above {least:g}", reason)


def calibration(a: Assessment, limits: Limits, _: Policy) -> Line:
    found, most = a.forecast.calibration_error, limits["at_most"]
    reason = f"mean distance of what was said from what happened, {int(limits['bins'])} equally filled bins per class"
    return Line("calibration", found <= most, figure(found), f"at most {most:g}", reason)


def members(a: Assessment, limits: Limits, _: Policy) -> Line:
    """The naive forecaster of a member is the coin (direction) and climatology (Brier)."""
    auc, skill = limits["above_auc"], limits["above_skill"]
    asked = f"each: AUC above {auc:g}, Brier skill above {skill:g}"
    if not a.members:
        return unchecked("members", asked, "no member's own probabilities were recorded")
    weak = [
        f"{name} (AUC {figure(f.auc)}, skill {figure(f.brier_skill)})"
        for name, f in a.members.items()
        if f.auc is None or f.brier_skill is None or f.auc <= auc or f.brier_skill <= skill
    ]
    found = f"{len(a.members) - len(weak)} of {len(a.members)}"
    return Line("members", not weak, found, asked, f"no better than naive: {', '.join(weak)}" if weak else "all do")


# --- the money -----------------------------------------------------------------------------------------------


def beats_naive(a: Assessment, limits: Limits, _: Policy) -> Line:
    """Surely better (lower bound) than staying out and than the timing rule that was best before the hold-out, and
    more profitable than each rule with hindsight. Against a passive rule an interval would only measure the market's
    own variance, and the best of five with hindsight is lucky: for those the profit itself is compared."""
    least = limits["above_quote"]
    rivals = {r.name: r for r in (a.naive_rival, *a.naive) if r.name in (a.naive_before, "stay out")}
    lines = [
        _bound("beats_naive", r.excess, least, f"net profit less that of '{r.name}', lower bound")
        for r in rivals.values()
    ]
    if failed := [line for line in lines if not line.passed]:
        return failed[0]
    net, best = a.model.net, max(a.naive, key=lambda r: r.rival.net)
    if net <= best.rival.net:
        reason = f"'{best.name}' earned {figure(best.rival.net)} over the same rows"
        return Line("beats_naive", False, figure(net), f"above {figure(best.rival.net)}", reason)
    return lines[0]


def higher_costs(a: Assessment, limits: Limits, _: Policy) -> Line:
    least, found = limits["above_quote"], a.costly.net
    asked = f"above {least:g} at {a.cost_factor:g}x costs"
    reason = f"net profit with fees and slippage times {a.cost_factor:g}; the spread is in the quotes"
    return Line("higher_costs", found > least, figure(found), asked, reason)


def drawdown(a: Assessment, limits: Limits, _: Policy) -> Line:
    found, most = metrics.max_drawdown(a.model.equity), limits["at_most"]
    return Line(
        "drawdown", found <= most, f"{found:.1%}", f"at most {most:.0%}", "mark to market, from the highest equity"
    )


def deflated_sharpe(a: Assessment, limits: Limits, _: Policy) -> Line:
    asked, trials = f"at least {limits['at_least']:g}", a.case.trials
    if trials is None or trials < 1:
        return unchecked("deflated_sharpe", asked, "the number of trials was not recorded")
    found = metrics.deflated_sharpe(a.period_returns, trials)
    reason = f"chance that the Sharpe ratio is real after {trials} trials, over {a.period_returns.size} periods"
    return Line("deflated_sharpe", found is not None and found >= limits["at_least"], figure(found), asked, reason)


def overfitting(a: Assessment, limits: Limits, _: Policy) -> Line:
    asked, trials, table = f"at most {limits['at_most']:g}", a.case.trials, a.case.configurations
    if trials == 1:
        return Line(
            "overfitting", True, "one configuration", asked, "nothing was chosen, so nothing is overfitted by choice"
        )
    if trials is None or table is None:
        return unchecked("overfitting", asked, "the tried configurations left no profit by period")
    found = metrics.overfitting_probability(table)
    reason = f"share of splits in which the best of {table.shape[1]} configurations falls below the median"
    return Line("overfitting", found is not None and found <= limits["at_most"], figure(found), asked, reason)


def over_trading(a: Assessment, limits: Limits, _: Policy) -> Line:
    """Trades per instrument and day, and per horizon: a rule that keeps its trades to the horizon has at most one."""
    instrument_ns = max(1, a.model.span_ns)
    daily = len(a.model.trades) * DAY_NS / instrument_ns
    each = len(a.model.trades) * a.case.horizon_ns / instrument_ns
    most_daily, most_each = limits["per_instrument_day"], limits["per_horizon"]
    return Line(
        "over_trading",
        daily <= most_daily and each <= most_each,
        f"{daily:.4g} a day, {each:.2f} a horizon",
        f"at most {most_daily:g} and {most_each:g}",
        "per instrument; more than one trade a horizon means that it keeps turning round",
    )


# --- in service ----------------------------------------------------------------------------------------------


def latency(a: Assessment, limits: Limits, _: Policy) -> Line:
    """The answer must be there long before the next vector, whatever machine measured it."""
    most = min(limits["p99_ms"], limits["share_of_interval"] * a.case.emission_interval_ns / 1e6)
    asked, found = f"p99 at most {most:g} ms", a.case.latency
    if found is None:
        return unchecked("latency", asked, "inference was not measured")
    reason = f"{found.calls} single rows through the bundle's graph; the limit follows the time between vectors"
    return Line("latency", found.p99_ms <= most, f"{found.p99_ms:.3g} ms", asked, reason)


def champion(a: Assessment, limits: Limits, _: Policy) -> Line:
    margin = limits["margin_quote"]
    asked = f"less the champion's above {-margin:g}"
    if isinstance(a.case.champion, NoChampion):
        return Line("champion", True, "no champion", asked, "nobody trades under this name: the naive rules only")
    if not isinstance(a.case.champion, LiveChampion) or a.champion is None:
        return unchecked("champion", asked, "the champion's recorded live predictions are not read yet")
    return _bound(
        "champion", a.champion.excess, -margin, "net profit less the champion's recorded live one, lower bound"
    )


def shadow_replay(a: Assessment, _: Limits, __: Policy) -> Line:
    if a.case.shadow_passed is None:
        return unchecked("shadow_replay", "passed", "the real services have not replayed a stretch with this bundle")
    found = "passed" if a.case.shadow_passed else "failed"
    return Line("shadow_replay", a.case.shadow_passed, found, "passed", "real service processes on a replayed stretch")


def _bound(name: str, found: Bounded, least: float, reason: str) -> Line:
    asked = f"above {least:g}"
    if isinstance(found, TooShort):
        return Line(name, False, "no interval", asked, str(found))
    value = f"{figure(found.low)} ({figure(found.point)})"
    return Line(name, found.low > least, value, asked, f"{reason} at {found.confidence:.0%}, {found.blocks} blocks")


def _duration(seconds: float) -> str:
    return f"{seconds / 86400:.4g} days" if seconds >= 86400 else f"{seconds / 60:.3g} min"


LINES: Mapping[str, Callable[[Assessment, Limits, Policy], Line]] = {
    line.__name__: line
    for line in (
        provenance,
        gap_free,
        label_kind,
        outer_hold_out,
        served_as_judged,
        threshold,
        span,
        trades,
        direction,
        suspicion,
        brier_skill,
        calibration,
        beats_naive,
        higher_costs,
        members,
        drawdown,
        deflated_sharpe,
        overfitting,
        over_trading,
        latency,
        champion,
        shadow_replay,
    )
}
