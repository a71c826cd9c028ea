"""The CatBoost member: symmetric boosted trees, kept as CatBoost's own JSON without its times and ids."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import catboost
import numpy as np

from pipelines.retrain.adapters.forest import CLASSES, Features, Floats, Forest, Recipe, TrainingRows


class CatBoostMember:
    name = "catboost"
    ending: Literal["txt", "json"] = "json"

    def fit(self, rows: TrainingRows, recipe: Recipe) -> bytes:
        model = catboost.CatBoostClassifier(
            loss_function="MultiClass",
            classes_count=CLASSES,
            iterations=recipe.trees,
            depth=recipe.depth,
            learning_rate=recipe.learning_rate,
            l2_leaf_reg=recipe.l2,
            rsm=recipe.column_share,
            bootstrap_type="Bernoulli",
            subsample=recipe.row_share,
            boosting_type="Plain",
            boost_from_average=False,
            random_seed=recipe.seed,
            thread_count=1,
            allow_writing_files=False,
            logging_level="Silent",
        )
        model.fit(catboost.Pool(rows.features, rows.labels.astype(np.int64), weight=rows.weights))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.json"
            model.save_model(str(file), format="json")
            content = json.loads(file.read_bytes())
        content.pop("model_info")  # the time, a random id and the parameters; not needed to predict
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    def raw_scores(self, model: bytes, features: Features) -> Floats:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.json"
            file.write_bytes(model)
            loaded = catboost.CatBoost()
            loaded.load_model(str(file), format="json")
        scores = loaded.predict(features, prediction_type="RawFormulaVal", thread_count=1)
        return np.asarray(scores, dtype=np.float64)

    def forest(self, model: bytes) -> Forest:
        content = json.loads(model)
        columns = {
            int(f["feature_index"]): int(f["flat_feature_index"]) for f in content["features_info"]["float_features"]
        }
        treatment = {
            int(f["feature_index"]): str(f["nan_value_treatment"]) for f in content["features_info"]["float_features"]
        }
        scale, bias = content["scale_and_bias"]
        trees = [_tree(tree, k, columns, treatment) for k, tree in enumerate(content["oblivious_trees"])]
        tree, node, feature, threshold, yes, no, nan_to_yes = (
            np.concatenate(parts) for parts in zip(*(t[:7] for t in trees), strict=True)
        )
        leaf = feature < 0
        values = np.concatenate([t[7] for t in trees]) * float(scale)
        return Forest(
            comparison="<=",
            tree=tree,
            node=node,
            feature=feature,
            threshold=threshold,
            yes=yes,
            no=no,
            nan_to_yes=nan_to_yes,
            leaf_tree=np.repeat(tree[leaf], CLASSES),
            leaf_node=np.repeat(node[leaf], CLASSES),
            leaf_class=np.tile(np.arange(CLASSES), int(leaf.sum())),
            leaf_value=values.astype(np.float32),
            offset=np.array(bias, dtype=np.float32),
        )


def _tree(tree: Any, k: int, columns: dict[int, int], treatment: dict[int, str]) -> tuple[np.ndarray, ...]:
    """A symmetric tree as a full binary one. Split number i gives bit i of the leaf's number: `x > border` sets it.

    A NaN is above no border (treated as smallest, or never seen) unless it is treated as the greatest value.
    """
    splits = tree["splits"] or []
    depth = len(splits)
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise ValueError("only splits of float32 features are part of a view")
    inner, leaves = 2**depth - 1, 2**depth
    node = np.arange(inner + leaves, dtype=np.int64)
    level = np.zeros(inner, dtype=np.int64)
    for d in range(depth):
        level[2**d - 1 : 2 ** (d + 1) - 1] = d
    feature = np.array([columns[int(s["float_feature_index"])] for s in splits], dtype=np.int64)
    border = np.array([s["border"] for s in splits], dtype=np.float32)
    nan_low = np.array([treatment[int(s["float_feature_index"])] != "AsTrue" for s in splits], dtype=np.bool_)
    none = np.zeros(leaves, dtype=np.int64)
    # Leaves stand in the order of the walk (first split most significant); CatBoost numbers them by bit i = split i.
    walk = np.arange(leaves)
    number = sum((((walk >> (depth - 1 - i)) & 1) << i for i in range(depth)), np.zeros(leaves, dtype=np.int64))
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(leaves, CLASSES)
    return (
        np.full(inner + leaves, k, dtype=np.int64),
        node,
        np.concatenate((feature[level], none - 1)),
        np.concatenate((border[level], none.astype(np.float32))),
        np.concatenate((2 * node[:inner] + 1, none)),
        np.concatenate((2 * node[:inner] + 2, none)),
        np.concatenate((nan_low[level], none.astype(np.bool_))),
        values[number].ravel(),
    )
