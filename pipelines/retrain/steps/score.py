"""Score: the two tables that the gate reads: out-of-fold rows, and held-out rows by the bundle itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.bundle.folder import read_bundle
from libs.trading.labels import direction
from libs.trading.scoring import DIRECTION_CLASSES
from pipelines.retrain.adapters.forest import CLASSES, Member
from pipelines.retrain.adapters.onnx_session import open_graph
from pipelines.retrain.adapters.run_folder import RunFolder, read_facts
from pipelines.retrain.adapters.tables import Columns, pick, read_columns, write_columns
from pipelines.retrain.steps.dataset import OUTCOME_COLUMNS, QUOTE_COLUMNS
from pipelines.retrain.steps.export import Fitted, ensemble, read_fitted
from pipelines.retrain.steps.fits import load_features

OUTER = -1  # the fold of the hold-out's rows


def score(run: RunFolder, members: Mapping[str, Member]) -> None:
    """Columns: times, quotes, outcome, `label`, `fold`, `p_*` of the vote and `<member>_p_*`, all calibrated."""
    fitted = read_fitted(run, members)
    columns, features = read_columns(run.dataset_table, "dataset"), load_features(run)
    write_columns(run.oof_scored, _out_of_fold(read_columns(run.out_of_fold, "train"), fitted, columns))
    write_columns(run.holdout_scored, _hold_out(run, fitted, columns, features))


def held_out(run: RunFolder, columns: Columns) -> NDArray[np.intp]:
    """Places in the dataset of the rows of the outer hold-out."""
    return np.flatnonzero(columns["as_of"] >= int(read_facts(run.train_facts, "train")["holdout_from_ns"]))


def _hold_out(
    run: RunFolder, fitted: Fitted, columns: Columns, features: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    held = held_out(run, columns)
    rows = pick(columns, held)
    scored = _judged(rows)
    scored["label"] = direction(rows["future_return"], float(read_facts(run.train_facts, "train")["threshold"]))
    scored["fold"] = np.full(held.size, OUTER, dtype=np.int64)
    _put(scored, "p", open_graph(read_bundle(run.bundle).onnx)(features[held])[0])
    for name in fitted.weights:
        own = fitted.members[name].raw_scores(fitted.models[name], features[held])
        _put(scored, f"{name}_p", fitted.calibrators[name].probabilities(own))
    return scored


def _out_of_fold(table: Columns, fitted: Fitted, columns: Columns) -> dict[str, NDArray[Any]]:
    scored = _judged(pick(columns, table["row"]))
    scored |= {"label": table["label"], "fold": table["fold"]}
    scores = {name: np.stack([table[f"{name}.{c}"] for c in range(CLASSES)], axis=1) for name in fitted.weights}
    _put(scored, "p", ensemble(fitted, scores))
    for name in fitted.weights:
        _put(scored, f"{name}_p", fitted.calibrators[name].probabilities(scores[name]))
    return scored


def _judged(rows: Columns) -> dict[str, NDArray[Any]]:
    return {name: rows[name] for name in (*QUOTE_COLUMNS, *OUTCOME_COLUMNS, "weight")}


def _put(columns: dict[str, NDArray[Any]], prefix: str, probabilities: NDArray[np.float64]) -> None:
    for c, name in enumerate(DIRECTION_CLASSES):
        columns[f"{prefix}_{name}"] = np.ascontiguousarray(probabilities[:, c])
