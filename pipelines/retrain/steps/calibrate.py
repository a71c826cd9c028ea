"""Calibrate: temper each member, weigh the vote and choose the decision threshold, all on out-of-fold rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from libs.trading.backtest import QuoteRows, Terms, run
from libs.trading.scoring import DIRECTION_CLASSES
from pipelines.retrain.adapters.forest import CLASSES, softmax
from pipelines.retrain.adapters.run_folder import RunFolder, write_facts
from pipelines.retrain.adapters.tables import Columns, pick, read_columns
from pipelines.retrain.steps.plan import ThresholdPlan

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SLOPE_BOUNDS = (0.02, 5.0)  # never 0: outputs keep their order, and a useless member shows itself in its weight
SHIFT_BOUND = 5.0
SHIFTS = np.array([[-0.5, 1.0, -0.5], [-1.0, 0.0, 1.0]])  # flat against moved, up against down
LEAST_WEIGHT = 0.05
FALLBACK = {"lightgbm": 0.3, "xgboost": 0.3, "catboost": 0.2, "random_forest": 0.2}
PRIOR_LABELS = 50.0  # independent labels that the fixed weights are worth: so few cannot tell near-equal members apart
EM_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Calibrator:
    """softmax(`slope` x raw scores + `shift`): continuous, and the same formula as the graph's."""

    slope: float
    shift: tuple[float, float, float]

    def probabilities(self, scores: Floats) -> Floats:
        """float64 (n, 3) from raw scores (n, 3)."""
        return softmax(self.slope * scores + np.array(self.shift))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one decision threshold earned out of fold, net of costs, in fractions of one unit's notional."""

    threshold: float
    net: float
    trades: int
    winning_folds: float


def calibrate(run_folder: RunFolder, terms: Terms, plan: ThresholdPlan) -> None:
    """Write calibrators, weights and threshold. `terms` are those of the gate's own run (costs, latency, horizon)."""
    table = read_columns(run_folder.out_of_fold, "train")
    rows = pick(read_columns(run_folder.dataset_table, "dataset"), table["row"])
    names = sorted({name.split(".")[0] for name in table if "." in name}, key=list(FALLBACK).index)
    labels, weights = table["label"].astype(np.int64), rows["weight"]
    scores = {name: np.stack([table[f"{name}.{c}"] for c in range(CLASSES)], axis=1) for name in names}
    calibrators = {name: fit_calibrator(scores[name], labels, weights) for name in names}
    calibrated = {name: calibrators[name].probabilities(scores[name]) for name in names}
    votes, fallback = fit_weights(calibrated, labels, weights)
    ensemble = sum((votes[name] * calibrated[name] for name in votes), np.zeros((labels.size, CLASSES)))
    candidates = threshold_candidates(quote_rows(rows), ensemble, table["fold"], terms, plan)
    best = choose(candidates, plan)
    write_facts(
        run_folder.calibration,
        {
            "method": "softmax of a slope and a shift per class, per member",
            "calibrators": {n: {"slope": c.slope, "shift": list(c.shift)} for n, c in calibrators.items()},
            "weights": votes,
            "fallback_weights": fallback,
            "threshold": None if best is None else best.threshold,
            "candidates": [[c.threshold, c.net, c.trades, c.winning_folds] for c in candidates],
            "log_loss": {name: log_loss(calibrated[name], labels, weights) for name in names}
            | {"ensemble": log_loss(ensemble, labels, weights), "climatology": _climatology_loss(labels, weights)},
        },
    )


def fit_calibrator(scores: Floats, labels: Labels, weights: Floats) -> Calibrator:
    """Slope and a shift per class of least weighted log loss; the shifts add to 0, as a common one changes nothing."""
    scale = weights / weights.sum()
    truth = np.eye(CLASSES)[labels]

    def loss(theta: Floats) -> tuple[float, Floats]:
        shift = theta[1:] @ SHIFTS
        p = softmax(theta[0] * scores + shift)
        value = -float(np.sum(scale * np.log(np.maximum(p[np.arange(labels.size), labels], 1e-300))))
        slack = (p - truth) * scale[:, None]
        return value, np.concatenate(([np.sum(slack * scores)], SHIFTS @ slack.sum(axis=0)))

    bounds = [SLOPE_BOUNDS, (-SHIFT_BOUND, SHIFT_BOUND), (-SHIFT_BOUND, SHIFT_BOUND)]
    found = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    down, flat, up = (float(v) for v in found.x[1:] @ SHIFTS)
    return Calibrator(float(found.x[0]), (down, flat, up))


def fit_weights(
    probabilities: Mapping[str, Floats], labels: Labels, row_weights: Floats
) -> tuple[dict[str, float], bool]:
    """Weights (at least 0, sum 1) of the likeliest mixture, by expectation-maximisation: it cannot leave the simplex.

    The fixed weights are the prior, worth `PRIOR_LABELS` labels; `row_weights` are the labels' uniqueness, so that
    their sum counts independent ones. Members under 0.05 are dropped and the rest is fitted again. True: fitting
    failed, the fixed weights rule.
    """
    names = list(probabilities)
    while True:
        likelihood = np.stack([probabilities[n][np.arange(labels.size), labels] for n in names], axis=1)
        prior = np.array([FALLBACK[n] for n in names]) / sum(FALLBACK[n] for n in names)
        vote = _mixture(likelihood, row_weights, prior)
        if not np.isfinite(vote).all():
            return dict(zip(names, _sum_to_one(prior), strict=True)), True
        kept = [n for n, w in zip(names, vote, strict=True) if w >= LEAST_WEIGHT]
        if kept == names:
            return dict(zip(names, _sum_to_one(vote), strict=True)), False
        names = kept


def _mixture(likelihood: Floats, row_weights: Floats, prior: Floats) -> Floats:
    vote, counted = prior, PRIOR_LABELS + row_weights.sum()
    for _ in range(EM_ROUNDS):
        joint = likelihood * vote
        total = joint.sum(axis=1)
        if not np.all(total > 0.0):
            return np.full(vote.shape, np.nan)
        after = (row_weights @ (joint / total[:, None]) + PRIOR_LABELS * prior) / counted
        if np.max(np.abs(after - vote)) < 1e-9:
            return np.asarray(after)
        vote = after
    return vote


def _sum_to_one(vote: Floats) -> list[float]:
    """Rounded to 6 places, the last taking what is left, so that the sum is 1 in text too."""
    rounded = [round(float(v / vote.sum()), 6) for v in vote[:-1]]
    return [*rounded, round(1.0 - sum(rounded), 6)]


def threshold_candidates(
    quotes: QuoteRows, probabilities: Floats, fold: NDArray[np.int64], terms: Terms, plan: ThresholdPlan
) -> list[Candidate]:
    """What each candidate threshold earned with the platform's own rule at these terms. `quotes` in time order."""
    score = np.clip(probabilities[:, 2] - probabilities[:, 0], -1.0, 1.0)
    found = []
    for threshold in sorted({round(float(q), 6) for q in np.quantile(np.abs(score), plan.quantiles)}):
        if threshold <= 0.0:
            continue
        made = run(quotes, score, threshold, terms)
        by_fold = np.bincount(fold, weights=made.profit)
        winning = float(np.mean(by_fold[np.unique(fold)] > 0.0))
        found.append(Candidate(threshold, made.net / terms.unit_quote, len(made.trades), winning))
    return found


def choose(candidates: Sequence[Candidate], plan: ThresholdPlan) -> Candidate | None:
    """The candidate with the highest net profit; None ("never") when none earns anything."""
    able = [
        c
        for c in candidates
        if c.net > 0.0 and c.trades >= plan.least_trades and c.winning_folds >= plan.least_winning_folds
    ]
    return max(able, key=lambda c: c.net, default=None)


def quote_rows(rows: Columns) -> QuoteRows:
    """The rows as the trading rule reads them; they must be in time order."""
    return QuoteRows(
        as_of=rows["as_of"],
        known_at=rows["known_at"],
        instrument=np.unique(rows["instrument"], return_inverse=True)[1].astype(np.int64),
        session=np.unique(rows["session"], return_inverse=True)[1].astype(np.int64),
        bid=rows["bid"],
        ask=rows["ask"],
    )


def log_loss(probabilities: Floats, labels: Labels, weights: Floats) -> float:
    """Weighted mean of -log p of what happened."""
    chosen = np.maximum(probabilities[np.arange(labels.size), labels], 1e-300)
    return float(-np.sum(weights * np.log(chosen)) / weights.sum())


def _climatology_loss(labels: Labels, weights: Floats) -> float:
    shares = np.bincount(labels, weights=weights, minlength=len(DIRECTION_CLASSES)) / weights.sum()
    return log_loss(np.broadcast_to(shares, (labels.size, CLASSES)), labels, weights)
