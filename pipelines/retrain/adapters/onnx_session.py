"""Scores rows with an ONNX graph on the processor, named explicitly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

PROVIDER = "CPUExecutionProvider"

Scorer = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float64]]]


def open_graph(graph: bytes, threads: int = 1) -> Scorer:
    """A function from float32 rows (n, F) to the graph's outputs, float64 (n, 3) each.

    Raises RuntimeError when the runtime would use another provider than the one named.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDER])
    if session.get_providers() != [PROVIDER]:
        raise RuntimeError(f"onnxruntime chose {session.get_providers()}, expected {PROVIDER}")
    name = session.get_inputs()[0].name

    def score(rows: NDArray[np.float32]) -> Sequence[NDArray[np.float64]]:
        return [np.asarray(output, dtype=np.float64) for output in session.run(None, {name: rows})]

    return score
