"""Golden rows: inputs and the outputs they must give, the proof of a runtime that has no booster."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.bundle.canonical import BundleError

TOLERANCE = 1e-5  # of one calibrated probability: integrity's own limit after calibration
SUM_TOLERANCE = 1e-6  # what readers of predictions allow


def sums_to_one(outputs: NDArray[np.floating]) -> bool:
    """Whether every row is finite, not negative and sums to 1."""
    wide = outputs.astype(np.float64)
    sums = np.abs(wide.sum(axis=1) - 1.0)
    return bool(np.isfinite(wide).all() and (wide >= 0).all() and (sums <= SUM_TOLERANCE).all())


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRows:
    """`inputs` float32 (rows, features), NaN and extremes included; `outputs` float64 (rows, classes), rows sum to 1.

    Raises ValueError for other shapes or types; NaN is stored canonically and -0 as 0, as in every vector.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float64]

    def __post_init__(self) -> None:
        inputs, outputs = self.inputs, self.outputs
        if inputs.dtype != np.float32 or outputs.dtype != np.float64:
            raise ValueError(f"golden rows: {inputs.dtype} in and {outputs.dtype} out, expected float32 and float64")
        if inputs.ndim != 2 or outputs.ndim != 2 or len(inputs) != len(outputs) or len(inputs) == 0:
            raise ValueError(f"golden rows: shapes {inputs.shape} and {outputs.shape}")
        if not sums_to_one(outputs):
            raise ValueError("golden rows: outputs are no probabilities")
        canonical = np.where(np.isnan(inputs), np.float32(np.nan), inputs + np.float32(0.0)).astype("<f4")
        object.__setattr__(self, "inputs", np.ascontiguousarray(canonical))
        object.__setattr__(self, "outputs", np.ascontiguousarray(outputs.astype("<f8")))

    def check(self, outputs: NDArray[np.floating], tolerance: float = TOLERANCE) -> str | None:
        """None when these outputs are the golden ones, else what differs."""
        if outputs.shape != self.outputs.shape:
            return f"golden rows: shape {outputs.shape}, expected {self.outputs.shape}"
        difference = np.abs(outputs.astype(np.float64) - self.outputs)
        if not sums_to_one(outputs):
            return "golden rows: an output is no distribution"
        worst = float(difference.max())
        if worst > tolerance:
            row = int(difference.max(axis=1).argmax())
            return f"golden rows: row {row} differs by {worst:.3g}, allowed {tolerance:.3g}"
        return None

    def to_bytes(self) -> bytes:
        """An .npz without compression and without times, so that the same rows give the same bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, array in (("inputs", self.inputs), ("outputs", self.outputs)):
                part = io.BytesIO()
                np.lib.format.write_array(part, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), part.getvalue())
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> GoldenRows:
        """Raises BundleError for anything that is no pair of arrays; never unpickles."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if sorted(arrays.files) != ["inputs", "outputs"]:
                    raise ValueError(f"arrays {sorted(arrays.files)}")
                return GoldenRows(arrays["inputs"], arrays["outputs"])
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise BundleError(f"golden.npz: {error}") from error
