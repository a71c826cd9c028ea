"""Fits: one member on one fold's rows, each by itself, so that many can be made at once and any of them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from libs.trading.folds import Split, TooFewRows, holdout, holdout_start, walk_forward
from libs.trading.labels import LabelRefused, LabelSpec, check_classes, direction, fit_threshold
from pipelines.retrain.adapters.finished import content
from pipelines.retrain.adapters.forest import Member, Recipe, TrainingRows
from pipelines.retrain.adapters.run_folder import MORE_DATA, RunError, RunFolder, read_facts, write_facts, write_whole
from pipelines.retrain.adapters.tables import Columns, read_columns
from pipelines.retrain.steps.plan import FoldPlan

FINAL = "before the hold-out"
FINAL_FOLD = "final"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One fit's rows: `threshold` and weights come from `split.train` alone. `fold` is how it is asked for."""

    name: str
    fold: str
    split: Split
    threshold: float
    labels: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What every fit of a run learns from, and how. `inputs` names all of it, so that a kept fit is known to fit."""

    columns: Columns
    features: NDArray[np.float32]
    parts: tuple[Part, ...]
    members: Mapping[str, Member]
    recipes: Mapping[str, Recipe]
    inputs: str

    def part(self, fold: str) -> Part:
        """Raises RunError that lists the folds."""
        for part in self.parts:
            if part.fold == fold:
                return part
        raise RunError(f"unknown fold {fold!r}; folds: {', '.join(p.fold for p in self.parts)} (--fold)")

    def member(self, name: str) -> Member:
        """Raises RunError that lists the members."""
        if name not in self.members:
            raise RunError(f"unknown member {name!r}; members: {', '.join(self.members)} (--member)")
        return self.members[name]

    def fit(self, part: Part, name: str) -> bytes:
        """On one thread, so that the result does not depend on the machine."""
        chosen = part.split.train
        weights = self.columns["weight"][chosen]
        rows = TrainingRows(self.features[chosen], part.labels[chosen], weights / weights.mean())
        return self.members[name].fit(rows, self.recipes[name])


def fold_names(plan: FoldPlan) -> list[str]:
    """As they are asked for, the largest fit first."""
    return [FINAL_FOLD, *(str(k) for k in range(plan.folds, 0, -1))]


def training(
    run: RunFolder,
    members: Mapping[str, Member],
    recipes: Mapping[str, Recipe],
    spec: LabelSpec,
    plan: FoldPlan,
    code: str,
) -> Training:
    """Raises LabelRefused when a traded class is too rare, TooFewRows when a fold is too small; both say what to do."""
    columns = read_columns(run.dataset_table, "dataset")
    interval = int(read_facts(run.snapshot_facts, "snapshot")["bar_interval_ns"])
    told = [code, str(spec), asdict(plan), {name: asdict(recipe) for name, recipe in recipes.items()}]
    inputs = f"{json.dumps(told, sort_keys=True)}\n{content(run.path, ('dataset',))}"
    parts = tuple(_parts(columns, spec, plan, interval))
    digest = hashlib.sha256(inputs.encode()).hexdigest()
    return Training(columns, load_features(run), parts, members, recipes, digest)


def load_features(run: RunFolder) -> NDArray[np.float32]:
    """The dataset's matrix, float32 (n, F)."""
    try:
        features: NDArray[np.float32] = np.load(run.dataset_features, allow_pickle=False)
    except FileNotFoundError as error:
        raise RunError("dataset/features.npy is missing: run the step 'dataset' first") from error
    return features


def kept_fit(run: RunFolder, known: Training, name: str, fold: str) -> bytes | None:
    """The model that was fitted from exactly these inputs; None without one."""
    path = run.fit(name, fold)
    try:
        facts, model = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
    except (FileNotFoundError, ValueError):
        return None
    return model if facts == _facts(known, model) else None


def keep_fit(run: RunFolder, known: Training, name: str, fold: str, model: bytes) -> None:
    path = run.fit(name, fold)
    write_whole(path, model)
    write_facts(path.with_suffix(".json"), _facts(known, model))


def _facts(known: Training, model: bytes) -> dict[str, str]:
    return {"inputs": known.inputs, "digest": hashlib.sha256(model).hexdigest()}


def _parts(columns: Columns, spec: LabelSpec, plan: FoldPlan, bar_interval_ns: int) -> list[Part]:
    parts = []
    for (name, fold), split in _splits(columns, plan, bar_interval_ns).items():
        threshold, labels = _labelled(columns["future_return"], split, spec, name)
        parts.append(Part(name, fold, split, threshold, labels))
    return parts


def _splits(columns: Columns, plan: FoldPlan, bar_interval_ns: int) -> dict[tuple[str, str], Split]:
    """By name and fold."""
    as_of, end = columns["as_of"], columns["label_end"]
    embargo, least = plan.embargo_bars * bar_interval_ns, plan.least_rows
    begin = holdout_start(as_of, plan.holdout_share, plan.holdout_least_ns, plan.holdout_most_share)
    try:
        outer = holdout(as_of, end, begin, embargo, least)
        inner = walk_forward(as_of[outer.train], end[outer.train], plan.folds, embargo, least, plan.first_share)
    except TooFewRows as error:
        raise TooFewRows(f"{error}; {MORE_DATA}") from error
    splits = {
        (f"fold {k + 1}", str(k + 1)): Split(outer.train[s.train], outer.train[s.test], s.test_from, s.test_to)
        for k, s in enumerate(inner)
    }
    return {**splits, (FINAL, FINAL_FOLD): outer}


def _labelled(returns: NDArray[np.float64], split: Split, spec: LabelSpec, name: str) -> tuple[float, NDArray[np.int8]]:
    """The threshold that the split's rows to learn from give, and every row's class by it."""
    try:
        threshold = fit_threshold(returns[split.train], spec)
        labels = direction(returns, threshold)
        check_classes(labels[split.train])
    except LabelRefused as error:
        raise LabelRefused(f"{name}: {error}; {MORE_DATA}, or try another --horizon or --sigmas") from error
    return threshold, labels
