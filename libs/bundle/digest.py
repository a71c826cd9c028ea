"""Digests: what makes two bundles the same model."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from libs.bundle.golden import GoldenRows
from libs.bundle.manifest import Manifest


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def array_digest(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 over dtype, shape and little-endian C-order bytes of each array, in order. For tree arrays: the canonical
    digest of a member, whatever file its library wrote."""
    total = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{plain.dtype.str}{plain.shape}".encode())
        total.update(plain.tobytes())
    return total.hexdigest()


def bundle_digest(manifest: Manifest, onnx: bytes, golden: GoldenRows) -> str:
    """SHA-256 (64 hex) over the manifest (which holds each member's tree digest), the graph's bytes, the golden rows.

    It does not cover files, times or ids that libraries add: the same training gives the same digest.
    """
    parts = (
        b"trading-platform bundle 1",
        manifest.to_bytes(),
        sha256(onnx).encode(),
        array_digest(golden.inputs, golden.outputs).encode(),
    )
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()
