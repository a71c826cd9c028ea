"""A bundle's ONNX graph on the CPU: one session, one thread a run, inputs and outputs bound once per calling thread."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

PROVIDER = "CPUExecutionProvider"
INPUT, OUTPUT = "features", "probabilities"


class GraphProblem(Exception):
    """A graph that cannot run here or is not the agreed one; the message says why."""


class Graph:
    """Input "features" float32 (n, features), output "probabilities" (n, classes); threads may share it."""

    def __init__(self, onnx: bytes, n_features: int, n_classes: int) -> None:
        """Raises GraphProblem."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=[PROVIDER])
        except Exception as error:  # onnxruntime's own exceptions share no parent
            raise GraphProblem(f"the graph does not load: {_first_line(error)}") from error
        self._check(n_features, n_classes)
        self._n_features, self._n_classes = n_features, n_classes
        self._of_thread = threading.local()

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows (n, features) to probabilities (n, classes). Raises GraphProblem.

        Each row runs alone: for many rows onnxruntime takes other code, whose sums round differently, and an answer
        may not depend on who else asks.
        """
        bound = getattr(self._of_thread, "bound", None)
        if bound is None:
            bound = self._of_thread.bound = self._bind()
        binding, source, target = bound
        answers = np.empty((len(rows), self._n_classes), np.float64)
        try:
            for place, row in enumerate(rows):
                source[0] = row
                self._session.run_with_iobinding(binding)
                answers[place] = target[0]
        except Exception as error:  # onnxruntime's own exceptions share no parent
            raise GraphProblem(f"the graph does not run: {_first_line(error)}") from error
        return answers

    def _bind(self) -> tuple[Any, NDArray[np.float32], NDArray[np.floating[Any]]]:
        source = np.zeros((1, self._n_features), np.float32)
        target = np.zeros((1, self._n_classes), self._dtype)
        binding = self._session.io_binding()
        binding.bind_input(INPUT, "cpu", 0, np.float32, source.shape, source.ctypes.data)
        binding.bind_output(OUTPUT, "cpu", 0, self._dtype, target.shape, target.ctypes.data)
        return binding, source, target

    def _check(self, n_features: int, n_classes: int) -> None:
        if self._session.get_providers() != [PROVIDER]:
            raise GraphProblem(f"runs on {self._session.get_providers()}, asked for {PROVIDER}")
        inputs, outputs = self._session.get_inputs(), {out.name: out for out in self._session.get_outputs()}
        if [(node.name, node.type) for node in inputs] != [(INPUT, "tensor(float)")]:
            raise GraphProblem(f"inputs {[(node.name, node.type) for node in inputs]}, expected one float {INPUT!r}")
        if OUTPUT not in outputs or outputs[OUTPUT].type not in ("tensor(float)", "tensor(double)"):
            raise GraphProblem(f"outputs {sorted(outputs)}, expected float or double {OUTPUT!r}")
        for node, width in ((inputs[0], n_features), (outputs[OUTPUT], n_classes)):
            if len(node.shape) != 2 or (isinstance(node.shape[1], int) and node.shape[1] != width):
                raise GraphProblem(f"{node.name} has shape {node.shape}, the manifest has width {width}")
        self._dtype = np.float64 if outputs[OUTPUT].type == "tensor(double)" else np.float32


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
