"""A graph answers a row the same alone, in any batch and from any thread, or is refused with a reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from services.model_serving.adapters.graph import Graph, GraphProblem
from tests.builders.bundles import a_linear_graph, golden_inputs, linear_probabilities, weights
from tests.builders.trees import a_forest_graph

TABLE = np.random.default_rng(3).normal(size=(5, 3))
LINEAR = Graph(a_linear_graph(TABLE), 5, 3)
FOREST = Graph(a_forest_graph(5, 3, trees=60, depth=5), 5, 3)


def rows(seed: int, count: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    values[::7, 2] = np.nan
    return values


def test_the_linear_graph_says_what_its_rule_says() -> None:
    inputs = golden_inputs(5, 200)
    np.testing.assert_allclose(LINEAR.score(inputs), linear_probabilities(inputs, TABLE), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 70))
def test_an_answer_depends_on_its_row_alone(seed: int, count: int) -> None:
    inputs = rows(seed, count)
    for graph in (LINEAR, FOREST):
        together = graph.score(inputs)
        alone = np.concatenate([graph.score(inputs[n : n + 1]) for n in range(count)])
        shuffled = np.random.default_rng(seed).permutation(count)
        assert together.tobytes() == alone.tobytes()
        assert graph.score(inputs[shuffled]).tobytes() == together[shuffled].tobytes()


def test_threads_share_a_graph_without_mixing_their_rows() -> None:
    inputs = rows(1, 64)
    expected = FOREST.score(inputs)

    def ask(number: int) -> bool:
        place = number % 64
        return bool((FOREST.score(inputs[place : place + 1])[0] == expected[place]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(4000)))


def test_an_answer_is_not_overwritten_by_the_next() -> None:
    inputs = rows(2, 2)
    first = FOREST.score(inputs[:1])
    kept = first.copy()
    FOREST.score(inputs[1:])
    assert (first == kept).all()


def test_no_rows_and_many_rows() -> None:
    assert FOREST.score(np.empty((0, 5), np.float32)).shape == (0, 3)
    many = rows(3, 2500)
    assert FOREST.score(many)[2400].tobytes() == FOREST.score(many[2400:2401]).tobytes()


def a_graph(input_name: str = "features", output: str = "probabilities", kind: int = TensorProto.FLOAT) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Softmax", [input_name], [output], axis=1)],
        "g",
        [helper.make_tensor_value_info(input_name, kind, ["N", 3])],
        [helper.make_tensor_value_info(output, kind, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("onnx", "widths", "reason"),
    [
        (b"", (3, 3), "does not load"),
        (b"garbage", (3, 3), "does not load"),
        (a_graph()[:-20], (3, 3), "does not load"),
        (a_graph(input_name="x"), (3, 3), "expected one float"),
        (a_graph(output="label"), (3, 3), "expected float or double"),
        (a_graph(kind=TensorProto.DOUBLE), (3, 3), "expected one float"),
        (a_graph(), (4, 3), "width 4"),
        (a_graph(), (3, 2), "width 2"),
        (a_linear_graph(weights(3)), (3, 4), "width 4"),
    ],
)
def test_a_graph_that_is_not_the_agreed_one_is_refused(onnx: bytes, widths: tuple[int, int], reason: str) -> None:
    with pytest.raises(GraphProblem, match=reason):
        Graph(onnx, *widths)
