"""A random forest as one ONNX graph, for measuring and for checking that batches do not matter."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper


def a_forest_graph(n_features: int, n_classes: int, *, trees: int = 200, depth: int = 8, seed: int = 1) -> bytes:
    """Complete trees with random float32 thresholds; NaN goes left; leaves add up to a softmax over the classes."""
    random = np.random.default_rng(seed)
    inner, leaves = 2**depth - 1, 2**depth
    nodes = inner + leaves
    ids = np.tile(np.arange(nodes), trees)
    of_tree = np.repeat(np.arange(trees), nodes)
    is_leaf = ids >= inner
    attributes = {
        "nodes_treeids": of_tree.tolist(),
        "nodes_nodeids": ids.tolist(),
        "nodes_modes": ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        "nodes_featureids": np.where(is_leaf, 0, random.integers(0, n_features, len(ids))).tolist(),
        "nodes_values": np.where(is_leaf, 0, random.normal(size=len(ids))).astype(np.float32).tolist(),
        "nodes_truenodeids": np.where(is_leaf, 0, 2 * ids + 1).tolist(),
        "nodes_falsenodeids": np.where(is_leaf, 0, 2 * ids + 2).tolist(),
        "nodes_missing_value_tracks_true": np.ones(len(ids), np.int64).tolist(),
        "class_treeids": np.repeat(of_tree[is_leaf], n_classes).tolist(),
        "class_nodeids": np.repeat(ids[is_leaf], n_classes).tolist(),
        "class_ids": np.tile(np.arange(n_classes), trees * leaves).tolist(),
        "class_weights": random.normal(scale=2.0 / trees, size=trees * leaves * n_classes).astype(np.float32).tolist(),
        "classlabels_int64s": list(range(n_classes)),
        "post_transform": "SOFTMAX",
    }
    graph = helper.make_graph(
        [
            helper.make_node(
                "TreeEnsembleClassifier", ["features"], ["label", "probabilities"], domain="ai.onnx.ml", **attributes
            )
        ],
        "forest",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", n_features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", n_classes])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(deterministic=True))
