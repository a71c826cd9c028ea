"""Predict, beside the plain use of onnxruntime: the model alone, the handler around it, and over gRPC.

Rounds are interleaved; figures are the median of the rounds' medians. Equal results are asserted before any timing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from infra.daemon import free_port
from libs.bundle.acceptance import Trust
from libs.bundle.golden import GoldenRows
from libs.bundle.trust import Scope as BundleScope
from libs.runtime.fanout import Fanout
from libs.runtime.service import make_server
from libs.trading.features.catalogue import DEFAULT_VIEW
from libs.trading.scoring import Role, Scope
from libs.wire.features import vector_message
from protos.predictions.v1 import predictions_pb2 as pb
from protos.predictions.v1 import predictions_pb2_grpc
from services.model_serving.adapters.admission import BundleAdmission
from services.model_serving.adapters.graph import Graph
from services.model_serving.adapters.messages import prediction_message, vector_of
from services.model_serving.domain import Arrived
from services.model_serving.grpc_api import ModelServingApi
from services.model_serving.handlers.serving import Models, Scoring, Served
from services.model_serving.ports import Admitted
from tests.builders.bundles import a_bundle, a_key_pair, a_spec, a_view, golden_inputs
from tests.builders.trees import a_forest_graph
from tests.builders.vectors import a_vector

ROUNDS, CALLS, SIZE = 9, 200, 800  # trees: four members of 200
F = len(DEFAULT_VIEW)


@dataclass
class Row:
    name: str
    call: Callable[[int], Any]
    medians: list[float]
    tails: list[float]


class PlainBinding:
    """The peer: the same fused graph, one IOBinding of its own, as onnxruntime's documentation shows it."""

    def __init__(self, onnx: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        self.binding.bind_cpu_input("features", rows)
        self.binding.bind_output("probabilities")
        self.session.run_with_iobinding(self.binding)
        return np.asarray(self.binding.copy_outputs_to_cpu()[0], np.float64)


def admitted_forest(onnx: bytes, folder: Path) -> Admitted:
    """The forest as a signed bundle that went through admission like any other."""
    inputs = golden_inputs(F, 64)
    golden = GoldenRows(inputs, Graph(onnx, F, 3).score(inputs))
    a_bundle(folder / "bundle", view=a_view(DEFAULT_VIEW), graph=onnx, golden=golden)
    keys = a_key_pair()
    admission = BundleAdmission(Trust(keys.integrity, keys.evidence, BundleScope.SIMULATED), a_spec())
    found = admission.admit(folder / "bundle", 1, Role.CHAMPION)
    assert isinstance(found, Admitted), found
    return found


def serve(scoring: Scoring) -> tuple[grpc.Server, int]:
    nobody: Any = None  # Predict asks no reconciler
    api = ModelServingApi(scoring, nobody, Fanout(10), Scope.SIMULATED, decode=vector_of, encode=prediction_message)
    server = make_server()
    predictions_pb2_grpc.add_ModelServingServiceServicer_to_server(api, server)
    port = free_port()
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def measure(rows: list[Row]) -> None:
    for row in rows:
        for number in range(50):
            row.call(number)
    for turn in range(ROUNDS):
        first = turn % len(rows)
        for row in rows[first:] + rows[:first]:
            times = []
            for number in range(CALLS):
                start = time.perf_counter_ns()
                row.call(number)
                times.append((time.perf_counter_ns() - start) / 1000)
            times.sort()
            row.medians.append(statistics.median(times))
            row.tails.append(times[int(0.99 * CALLS)])


def main() -> None:
    onnx = a_forest_graph(F, 3, trees=SIZE, depth=8)
    random = np.random.default_rng(5)
    inputs = random.normal(size=(CALLS, F)).astype(np.float32)
    vectors = [a_vector(dict(zip(DEFAULT_VIEW, row, strict=True)), ordinal=n) for n, row in enumerate(inputs)]
    requests = [pb.PredictRequest(vector=vector_message(vector)) for vector in vectors]
    with tempfile.TemporaryDirectory() as scratch:
        model = admitted_forest(onnx, Path(scratch))
    peer = PlainBinding(onnx)
    models = Models()
    models.put(Served(model, Role.CHAMPION, model.facts.view.hash, 0))
    scoring = Scoring(models, a_spec(), time.time_ns)
    server, port = serve(scoring)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    predict = partial(predictions_pb2_grpc.ModelServingServiceStub(channel).Predict, timeout=5.0)

    expected = np.concatenate([peer.score(inputs[n : n + 1]) for n in range(CALLS)])
    ours = model.scorer.score(inputs)
    over_grpc = np.array([predict(request).prediction.probabilities for request in requests])
    assert ours.tobytes() == expected.tobytes(), "the model alone differs from onnxruntime"
    assert over_grpc.tobytes() == expected.tobytes(), "gRPC differs from onnxruntime"

    table = [
        Row("onnxruntime, fused graph, IOBinding", lambda n: peer.score(inputs[n : n + 1]), [], []),
        Row("Graph.score, 1 row", lambda n: model.scorer.score(inputs[n : n + 1]), [], []),
        Row("Scoring.score, 1 vector", lambda n: scoring.score(Role.CHAMPION, [Arrived(vectors[n])]), [], []),
        Row("Predict over gRPC, 1 client", lambda n: predict(requests[n]), [], []),
    ]
    measure(table)
    channel.close()
    server.stop(0)

    base = statistics.median(table[0].medians)
    print(f"\nPredict: {SIZE} trees of depth 8, {F} features, {ROUNDS} interleaved rounds of {CALLS} calls")
    print(f"{'':40}{'p50 µs':>10}{'p99 µs':>10}{'ratio':>8}")
    for row in table:
        p50, p99 = statistics.median(row.medians), statistics.median(row.tails)
        print(f"{row.name:40}{p50:10.1f}{p99:10.1f}{p50 / base:8.2f}")
    print("target: the model alone at most 1.00; over gRPC twice as fast as MLServer (measured before: 2200 µs)")


if __name__ == "__main__":
    main()
