"""Golden rows keep every bit, never unpickle, and say where outputs differ."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from libs.bundle.canonical import BundleError
from libs.bundle.golden import GoldenRows

OUTPUTS = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
ROWS = GoldenRows(np.array([[1.0, np.nan], [-0.0, 3e38]], np.float32), OUTPUTS)


@settings(deadline=None)
@given(arrays(np.float32, (4, 3), elements=st.floats(width=32)))
def test_inputs_come_back_bit_by_bit_with_one_nan_and_no_negative_zero(inputs: np.ndarray) -> None:
    outputs = np.full((4, 2), 0.5)
    rows = GoldenRows(inputs, outputs)
    again = GoldenRows.from_bytes(rows.to_bytes())
    assert again.inputs.tobytes() == rows.inputs.tobytes()
    assert again.to_bytes() == rows.to_bytes()
    assert not np.signbit(rows.inputs[rows.inputs == 0]).any()
    np.testing.assert_array_equal(rows.inputs, inputs)


def test_the_right_outputs_pass_and_wrong_ones_are_described() -> None:
    assert ROWS.check(OUTPUTS) is None
    assert ROWS.check(OUTPUTS + np.array([5e-6, 0, -5e-6])) is None
    assert "row 1 differs by 0.1" in str(ROWS.check(OUTPUTS + np.array([[0, 0, 0], [0.1, -0.1, 0]])))
    assert "shape" in str(ROWS.check(OUTPUTS[:1]))
    assert "no distribution" in str(ROWS.check(np.full((2, 3), np.nan)))
    assert "no distribution" in str(ROWS.check(OUTPUTS * 0.99))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (ROWS.inputs.astype(np.float64), OUTPUTS),
        (ROWS.inputs, OUTPUTS.astype(np.float32)),
        (ROWS.inputs[:1], OUTPUTS),
        (ROWS.inputs, OUTPUTS * 0.9),
        (ROWS.inputs, OUTPUTS * np.nan),
        (ROWS.inputs[:0], OUTPUTS[:0]),
        (ROWS.inputs[0], OUTPUTS[0]),
    ],
)
def test_what_are_no_golden_rows_is_refused(inputs: np.ndarray, outputs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="golden rows"):
        GoldenRows(inputs, outputs)


def test_a_pickle_is_never_opened() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, inputs=np.array([{}], dtype=object), outputs=OUTPUTS)
    for data in (buffer.getvalue(), pickle.dumps(ROWS.inputs), b"", b"PK\x03\x04", b"\x93NUMPY"):
        with pytest.raises(BundleError, match=r"golden\.npz"):
            GoldenRows.from_bytes(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_golden_rows_or_an_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        GoldenRows.from_bytes(data)
