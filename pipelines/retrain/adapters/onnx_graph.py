"""One ONNX graph of all members: "features" float32 [N, F] in, the calibrated vote "probabilities" [N, 3] out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.retrain.adapters.forest import CLASSES, Forest

INPUT, OUTPUT = "features", "probabilities"
OPSET, ML_OPSET, IR_VERSION = 18, 3, 9
BRANCH = {"<=": "BRANCH_LEQ", "<": "BRANCH_LT"}


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """One member in the graph: softmax of (`slope` x raw score + `shift` per class), times `weight`."""

    name: str
    forest: Forest
    slope: float
    shift: tuple[float, float, float]
    weight: float


def fuse(votes: Sequence[Vote], features: int, *, member_outputs: bool = False) -> bytes:
    """The graph's bytes; the same votes give the same bytes (no producer, time or doc string).

    With `member_outputs` each member's probabilities before calibration are outputs too, named by the member: that
    graph is for measuring parity, not for serving.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", CLASSES])]

    def constant(name: str, values: Sequence[float] | float) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        return name

    for vote in votes:
        own = f"{vote.name}_scores"
        nodes.append(_trees(vote, own))
        if member_outputs:
            nodes.append(helper.make_node("Softmax", [own], [vote.name], axis=1))
            outputs.append(helper.make_tensor_value_info(vote.name, TensorProto.FLOAT, ["rows", CLASSES]))
        steps = (
            ("Mul", constant(f"{vote.name}_slope", vote.slope), "sloped"),
            ("Add", constant(f"{vote.name}_shift", vote.shift), "shifted"),
        )
        for operator, operand, result in steps:
            nodes.append(helper.make_node(operator, [own, operand], [f"{vote.name}_{result}"]))
            own = f"{vote.name}_{result}"
        nodes.append(helper.make_node("Softmax", [own], [f"{vote.name}_calibrated"], axis=1))
        weight = constant(f"{vote.name}_weight", vote.weight)
        nodes.append(helper.make_node("Mul", [f"{vote.name}_calibrated", weight], [f"{vote.name}_vote"]))
    nodes.append(helper.make_node("Sum", [f"{vote.name}_vote" for vote in votes], [OUTPUT]))
    shape = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", features])
    graph = helper.make_graph(nodes, "production_ensemble", [shape], outputs, constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="")
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _trees(vote: Vote, output: str) -> onnx.NodeProto:
    forest = vote.forest
    modes = np.where(forest.feature < 0, "LEAF", BRANCH[forest.comparison])
    return helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [output],
        domain="ai.onnx.ml",
        name=vote.name,
        n_targets=CLASSES,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=forest.offset.tolist(),
        nodes_treeids=forest.tree.tolist(),
        nodes_nodeids=forest.node.tolist(),
        nodes_featureids=np.maximum(forest.feature, 0).tolist(),
        nodes_modes=modes.tolist(),
        nodes_values=forest.threshold.tolist(),
        nodes_truenodeids=forest.yes.tolist(),
        nodes_falsenodeids=forest.no.tolist(),
        nodes_missing_value_tracks_true=forest.nan_to_yes.astype(np.int64).tolist(),
        target_treeids=forest.leaf_tree.tolist(),
        target_nodeids=forest.leaf_node.tolist(),
        target_ids=forest.leaf_class.tolist(),
        target_weights=forest.leaf_value.tolist(),
    )
