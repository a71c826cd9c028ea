"""The LightGBM member: leaf-wise boosted trees, kept as LightGBM's own text file."""

from __future__ import annotations

from typing import Literal

import lightgbm
import numpy as np
from numpy.typing import NDArray

from pipelines.retrain.adapters.forest import CLASSES, Features, Floats, Forest, Recipe, TrainingRows, round_down

CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NAN = 2
ZERO = np.float32(1e-35)  # LightGBM reads every |x| up to this as 0
BELOW_ZERO = np.nextafter(-ZERO, np.float32(-np.inf))


class LightGbmMember:
    name = "lightgbm"
    ending: Literal["txt", "json"] = "txt"

    def fit(self, rows: TrainingRows, recipe: Recipe) -> bytes:
        parameters = {
            "objective": "multiclass",
            "num_class": CLASSES,
            "learning_rate": recipe.learning_rate,
            "max_depth": recipe.depth,
            "num_leaves": min(2**recipe.depth, 63),
            "min_data_in_leaf": max(1, int(recipe.least_rows)),
            "bagging_fraction": recipe.row_share,
            "bagging_freq": 1,
            "feature_fraction": recipe.column_share,
            "lambda_l2": recipe.l2,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": recipe.seed,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(rows.features, rows.labels, weight=rows.weights, params={"verbosity": -1})
        text: str = lightgbm.train(parameters, data, recipe.trees).model_to_string(num_iteration=-1)
        return text.encode()

    def raw_scores(self, model: bytes, features: Features) -> Floats:
        booster = lightgbm.Booster(model_str=model.decode())
        return np.asarray(booster.predict(features, raw_score=True, num_threads=1), dtype=np.float64)

    def forest(self, model: bytes) -> Forest:
        trees = [_tree(text, k) for k, text in enumerate(model.decode().split("\nTree=")[1:])]
        columns = [np.concatenate(parts) for parts in zip(*trees, strict=True)]
        tree, node, feature, threshold, yes, no, nan_to_yes, leaf_value = columns
        leaf = feature < 0
        return Forest(
            comparison="<=",
            tree=tree,
            node=node,
            feature=feature,
            threshold=np.where(leaf, np.float32(0.0), _as_read(round_down(threshold))),
            yes=yes,
            no=no,
            nan_to_yes=nan_to_yes,
            leaf_tree=tree[leaf],
            leaf_node=node[leaf],
            leaf_class=tree[leaf] % CLASSES,
            leaf_value=leaf_value[leaf].astype(np.float32),
            offset=np.zeros(CLASSES, dtype=np.float32),
        )


def _as_read(threshold: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thresholds within LightGBM's own zero, moved to its edge, so that the graph decides as LightGBM reads."""
    inside = np.abs(threshold) <= ZERO
    return np.where(inside, np.where(threshold < 0.0, BELOW_ZERO, ZERO), threshold)


def _tree(text: str, k: int) -> tuple[np.ndarray, ...]:
    """Node columns of one `Tree=` block: inner nodes 0..m-1 in LightGBM's order, then the leaves.

    LightGBM replaces a NaN by 0 at nodes where training saw no NaN ("missing type" none), so there the NaN's way is
    that of 0.
    """
    fields = dict(line.split("=", 1) for line in text.splitlines()[1:] if "=" in line)
    if int(fields.get("num_cat", "0")):
        raise ValueError("categorical splits are not part of a view of float32 features")
    leaves = np.array(fields["leaf_value"].split(), dtype=np.float64)
    inner = leaves.size - 1

    def column(name: str, kind: type) -> np.ndarray:
        return np.array(fields[name].split() if inner else [], dtype=kind)

    threshold = column("threshold", np.float64)
    decision = column("decision_type", np.int64)
    missing = (decision >> 2) & 3
    left, right = (column(name, np.int64) for name in ("left_child", "right_child"))
    nan_left = np.where(missing == MISSING_NAN, (decision & DEFAULT_LEFT) > 0, threshold >= 0.0)
    none = np.zeros(leaves.size, dtype=np.int64)
    return (
        np.full(inner + leaves.size, k, dtype=np.int64),
        np.arange(inner + leaves.size, dtype=np.int64),
        np.concatenate((column("split_feature", np.int64), none - 1)),
        np.concatenate((threshold, none.astype(np.float64))),
        np.concatenate((np.where(left >= 0, left, inner + ~left), none)),
        np.concatenate((np.where(right >= 0, right, inner + ~right), none)),
        np.concatenate((nan_left, none.astype(np.bool_))),
        np.concatenate((np.zeros(inner), leaves)),
    )
