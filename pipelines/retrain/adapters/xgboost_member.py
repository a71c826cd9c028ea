"""The XGBoost members: depth-wise boosted trees, and a random forest grown in one round; kept as XGBoost's own JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xgboost

from pipelines.retrain.adapters.forest import CLASSES, Features, Floats, Forest, Recipe, TrainingRows

EQUAL_START = 0.5  # the same for each class, so it cancels in softmax


class XgboostMember:
    name = "xgboost"
    ending: Literal["txt", "json"] = "json"

    def fit(self, rows: TrainingRows, recipe: Recipe) -> bytes:
        parameters = {
            "eta": recipe.learning_rate,
            "subsample": recipe.row_share,
            "colsample_bytree": recipe.column_share,
            **_shared(recipe),
        }
        return _train(parameters, rows, recipe.trees)

    def raw_scores(self, model: bytes, features: Features) -> Floats:
        booster = xgboost.Booster(params={"nthread": 1}, model_file=bytearray(model))
        margins = booster.inplace_predict(np.asarray(features), predict_type="margin", strict_shape=True)
        return np.asarray(margins, dtype=np.float64)

    def forest(self, model: bytes) -> Forest:
        return _forest(json.loads(model))


class RandomForestMember(XgboostMember):
    """All trees in one round, each on its own rows and with its own columns at every split, their leaves averaged."""

    name = "random_forest"

    def fit(self, rows: TrainingRows, recipe: Recipe) -> bytes:
        parameters = {
            "eta": 1.0,
            "num_parallel_tree": recipe.trees,
            "subsample": recipe.row_share,
            "colsample_bynode": recipe.column_share,
            **_shared(recipe),
        }
        return _train(parameters, rows, 1)


def _shared(recipe: Recipe) -> dict[str, object]:
    hessian_of_a_row = 2.0 / CLASSES * (1.0 - 1.0 / CLASSES)  # XGBoost's softmax at equal probabilities
    return {
        "objective": "multi:softprob",
        "num_class": CLASSES,
        "base_score": EQUAL_START,
        "max_depth": recipe.depth,
        "min_child_weight": recipe.least_rows * hessian_of_a_row,
        "lambda": recipe.l2,
        "tree_method": "hist",
        "nthread": 1,
        "seed": recipe.seed,
        "verbosity": 0,
    }


def _train(parameters: Mapping[str, object], rows: TrainingRows, rounds: int) -> bytes:
    data = xgboost.DMatrix(rows.features, rows.labels, weight=rows.weights, nthread=1)
    return bytes(xgboost.train(dict(parameters), data, rounds).save_raw("json"))


def _forest(model: Mapping[str, Any]) -> Forest:
    learner = model["learner"]
    booster = learner["gradient_booster"]["model"]
    trees = booster["trees"]
    if any(kind for tree in trees for kind in tree["split_type"]):
        raise ValueError("categorical splits are not part of a view of float32 features")
    sizes = [len(tree["left_children"]) for tree in trees]

    def column(name: str, kind: type) -> np.ndarray:
        return np.concatenate([np.array(tree[name], dtype=kind) for tree in trees])

    left = column("left_children", np.int64)
    leaf = left < 0
    tree = np.repeat(np.arange(len(trees), dtype=np.int64), sizes)
    node = np.concatenate([np.arange(size, dtype=np.int64) for size in sizes])
    condition = column("split_conditions", np.float32)
    start = np.array(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float32)
    return Forest(
        comparison="<",
        tree=tree,
        node=node,
        feature=np.where(leaf, -1, column("split_indices", np.int64)),
        threshold=np.where(leaf, np.float32(0.0), condition),
        yes=np.where(leaf, 0, left),
        no=np.where(leaf, 0, column("right_children", np.int64)),
        nan_to_yes=~leaf & (column("default_left", np.int64) > 0),
        leaf_tree=tree[leaf],
        leaf_node=node[leaf],
        leaf_class=np.array(booster["tree_info"], dtype=np.int64)[tree[leaf]],
        leaf_value=condition[leaf],
        offset=np.broadcast_to(start, (CLASSES,)).astype(np.float32),
    )
