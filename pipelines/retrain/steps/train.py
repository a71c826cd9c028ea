"""Train: every member on every purged walk-forward fold, and once on all rows before the hold-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.typing import NDArray

from pipelines.retrain.adapters.run_folder import RunFolder, write_facts, write_whole
from pipelines.retrain.adapters.tables import Columns, write_columns
from pipelines.retrain.steps.fits import FINAL, FINAL_FOLD, Part, Training, keep_fit, kept_fit

Progress = Callable[[str, float | None], None]
Models = Mapping[tuple[str, str], bytes]


def train(run: RunFolder, known: Training, workers: int, progress: Progress) -> int:
    """Leave out-of-fold raw scores and the final members; fits that are kept are not made again.

    Each fit runs on one thread, `workers` of them at a time. Returns how many fits were made now.
    """
    models, made = _fit_missing(run, known, workers, progress)
    for name, member in known.members.items():
        write_whole(run.member(f"{name}.{member.ending}"), models[FINAL_FOLD, name])
    folds = [part for part in known.parts if part.name != FINAL]
    _write_out_of_fold(run, folds, known, models)
    final = known.part(FINAL_FOLD)
    write_facts(
        run.train_facts,
        {
            "members": {name: known.recipes[name].trees for name in known.members},
            "threshold": final.threshold,
            "holdout_from_ns": final.split.test_from,
            "holdout_to_ns": final.split.test_to,
            "splits": [_split_facts(part, known.columns) for part in known.parts],
        },
    )
    return made


def _fit_missing(run: RunFolder, known: Training, workers: int, progress: Progress) -> tuple[Models, int]:
    models: dict[tuple[str, str], bytes] = {}
    missing = []
    for part in reversed(known.parts):  # the largest fits first, so that no long one is left for the end
        for name in known.members:
            model = kept_fit(run, known, name, part.fold)
            if model is None:
                missing.append((part, name))
            else:
                models[part.fold, name] = model
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(known.fit, part, name): (part, name) for part, name in missing}
        for done, job in enumerate(as_completed(jobs), start=1):
            part, name = jobs[job]
            models[part.fold, name] = job.result()
            keep_fit(run, known, name, part.fold, job.result())
            progress(f"{name}, {part.name}", done / len(jobs))
    return models, len(missing)


def _write_out_of_fold(run: RunFolder, folds: list[Part], known: Training, models: Models) -> None:
    table: dict[str, list[NDArray[np.generic]]] = {"row": [], "fold": [], "label": []}
    for k, part in enumerate(folds):
        test = part.split.test
        table["row"].append(test.astype(np.int64))
        table["fold"].append(np.full(test.size, k, dtype=np.int64))
        table["label"].append(part.labels[test])
        for name, member in known.members.items():
            scores = member.raw_scores(models[part.fold, name], known.features[test])
            for c in range(scores.shape[1]):
                table.setdefault(f"{name}.{c}", []).append(scores[:, c])
    write_columns(run.out_of_fold, {name: np.concatenate(values) for name, values in table.items()})


def _split_facts(part: Part, columns: Columns) -> dict[str, object]:
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
