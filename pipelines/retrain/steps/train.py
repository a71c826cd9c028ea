"""Train: every member on every purged walk-forward fold, and once on all rows before the hold-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.trading.folds import Split, holdout, holdout_start, walk_forward
from libs.trading.labels import LabelSpec, check_classes, direction, fit_threshold
from pipelines.retrain.adapters.forest import Member, Recipe, TrainingRows
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.adapters.tables import Columns, read_columns, write_columns
from pipelines.retrain.steps.plan import FoldPlan

Progress = Callable[[str, float | None], None]
FINAL = "before the hold-out"


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One fit's rows: `threshold` and weights come from `split.train` alone."""

    name: str
    split: Split
    threshold: float
    labels: NDArray[np.int8]


def train(
    run: RunFolder,
    members: Mapping[str, Member],
    recipes: Mapping[str, Recipe],
    spec: LabelSpec,
    plan: FoldPlan,
    workers: int,
    progress: Progress,
) -> None:
    """Leave out-of-fold raw scores and the final members. Each fit runs on one thread, `workers` of them at a time, so
    that the result does not depend on the machine.

    Raises LabelRefused when a traded class is too rare, TooFewRows when a fold is too small.
    """
    columns = read_columns(run.dataset_table, "dataset")
    features = load_features(run)
    interval = int(read_facts(run.snapshot_facts, "snapshot")["bar_interval_ns"])
    parts = _parts(columns, spec, plan, interval)
    models = _fit_all(parts, columns, features, members, recipes, workers, progress)
    for name, member in members.items():
        path = run.member(f"{name}.{member.ending}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(models[FINAL, name])
    folds = [part for part in parts if part.name != FINAL]
    _write_out_of_fold(run, folds, members, models, features)
    final = next(part for part in parts if part.name == FINAL)
    write_facts(
        run.train_facts,
        {
            "members": {name: recipes[name].trees for name in members},
            "threshold": final.threshold,
            "holdout_from_ns": final.split.test_from,
            "holdout_to_ns": final.split.test_to,
            "splits": [_split_facts(part, columns) for part in parts],
        },
    )


def load_features(run: RunFolder) -> NDArray[np.float32]:
    """The dataset's matrix, float32 (n, F)."""
    try:
        features: NDArray[np.float32] = np.load(run.dataset_features, allow_pickle=False)
    except FileNotFoundError as error:
        raise RunError("dataset/features.npy is missing: run the step 'dataset' first") from error
    return features


def _parts(columns: Columns, spec: LabelSpec, plan: FoldPlan, bar_interval_ns: int) -> list[_Part]:
    as_of, end, returns = columns["as_of"], columns["label_end"], columns["future_return"]
    embargo = plan.embargo_bars * bar_interval_ns
    begin = holdout_start(as_of, plan.holdout_share, plan.holdout_least_ns, plan.holdout_most_share)
    outer = holdout(as_of, end, begin, embargo, plan.least_rows)
    inner = walk_forward(as_of[outer.train], end[outer.train], plan.folds, embargo, plan.least_rows, plan.first_share)
    splits = {
        f"fold {k + 1}": Split(outer.train[s.train], outer.train[s.test], s.test_from, s.test_to)
        for k, s in enumerate(inner)
    }
    parts = []
    for name, split in {**splits, FINAL: outer}.items():
        threshold = fit_threshold(returns[split.train], spec)
        labels = direction(returns, threshold)
        check_classes(labels[split.train])
        parts.append(_Part(name, split, threshold, labels))
    return parts


def _fit_all(
    parts: list[_Part],
    columns: Columns,
    features: NDArray[np.float32],
    members: Mapping[str, Member],
    recipes: Mapping[str, Recipe],
    workers: int,
    progress: Progress,
) -> dict[tuple[str, str], bytes]:
    models: dict[tuple[str, str], bytes] = {}

    def fit(part: _Part, name: str) -> bytes:
        chosen = part.split.train
        weights = columns["weight"][chosen]
        rows = TrainingRows(features[chosen], part.labels[chosen], weights / weights.mean())
        return members[name].fit(rows, recipes[name])

    with ThreadPoolExecutor(workers) as pool:
        # The largest fits first, so that no long one is left for the end.
        jobs = {pool.submit(fit, part, name): (part.name, name) for part in reversed(parts) for name in members}
        for done, job in enumerate(as_completed(jobs), start=1):
            models[jobs[job]] = job.result()
            progress(f"{jobs[job][1]}, {jobs[job][0]}", done / len(jobs))
    return models


def _write_out_of_fold(
    run: RunFolder,
    folds: list[_Part],
    members: Mapping[str, Member],
    models: Mapping[tuple[str, str], bytes],
    features: NDArray[np.float32],
) -> None:
    table: dict[str, list[NDArray[np.generic]]] = {"row": [], "fold": [], "label": []}
    for k, part in enumerate(folds):
        test = part.split.test
        table["row"].append(test.astype(np.int64))
        table["fold"].append(np.full(test.size, k, dtype=np.int64))
        table["label"].append(part.labels[test])
        for name, member in members.items():
            scores = member.raw_scores(models[part.name, name], features[test])
            for c in range(scores.shape[1]):
                table.setdefault(f"{name}.{c}", []).append(scores[:, c])
    write_columns(run.out_of_fold, {name: np.concatenate(values) for name, values in table.items()})


def _split_facts(part: _Part, columns: Columns) -> dict[str, object]:
    train, test = part.split.train, part.split.test
    counts = np.bincount(part.labels[train], minlength=3)
    return {
        "name": part.name,
        "train_rows": int(train.size),
        "test_rows": int(test.size),
        "threshold": part.threshold,
        "classes": counts.tolist(),
        "last_label_end": int(columns["label_end"][train].max()),
        "first_test_as_of": int(columns["as_of"][test].min()),
    }
