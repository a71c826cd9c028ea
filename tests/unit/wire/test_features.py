"""Feature vectors survive the wire to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from libs.trading.features.vector import EmissionReason, FeatureVector
from libs.trading.market import Channel, Provenance, Quote, SessionClock
from libs.wire.features import decode_vector, encode_vector, vector_message
from libs.wire.malformed import MalformedMessage


def a_vector(values: NDArray[np.float32], **changes: Any) -> FeatureVector:
    fields: dict[str, Any] = {
        "id": "ab",
        "instrument": "bybit.linear.BTCUSDT",
        "session": "s",
        "as_of": 1_000,
        "reason": EmissionReason.BOUNDARY,
        "ordinal": 4,
        "spec_hash": "cd",
        "values": values,
        "reasons": np.isnan(values).astype(np.uint8),
        "provenance": Provenance.RECORDED,
        "received_time": 1_001,
        "known_at": 1_002,
        "clock": SessionClock(1, 2, 0.5),
        "quote": Quote(99.0, 1.0, 100.0, 2.0),
        "last_price": 99.5,
        "channel_age": {Channel.BOOK: 5, Channel.TRADES: 7},
        "input_offset": 12,
        "input_epoch": 3,
        "emission_interval": 250_000_000,
    }
    return FeatureVector(**(fields | changes))


@given(arrays.arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32)), st.booleans())
def test_a_vector_survives_to_the_last_bit(values: NDArray[np.float32], bare: bool) -> None:
    changes: dict[str, Any] = {"quote": None, "last_price": None, "channel_age": {}} if bare else {}
    vector = a_vector(values, **changes)
    back = decode_vector(encode_vector(vector))
    for field in FeatureVector.__dataclass_fields__:
        ours, theirs = getattr(vector, field), getattr(back, field)
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes())
        else:
            assert ours == theirs


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("id", "", "id is empty"),
        ("values", b"12345", "5 bytes"),
        ("reasons", b"", "2 values but 0 reasons"),
        ("reason", 0, "reason is unspecified"),
        ("provenance", 0, "provenance is unspecified"),
        ("spec_hash", "", "spec_hash is empty"),
        ("emission_interval_ns", 0, "emission_interval_ns is 0"),
        ("last_price", float("nan"), "last_price is nan"),
    ],
)
def test_what_means_nothing_is_refused(field: str, value: Any, says: str) -> None:
    message = vector_message(a_vector(np.zeros(2, np.float32)))
    setattr(message, field, value)
    with pytest.raises(MalformedMessage, match=says):
        decode_vector(message.SerializeToString())


def test_a_quote_without_a_size_is_refused() -> None:
    message = vector_message(a_vector(np.zeros(2, np.float32)))
    message.quote.ask_size = 0.0
    with pytest.raises(MalformedMessage, match=r"quote\.ask_size is 0\.0"):
        decode_vector(message.SerializeToString())


def test_an_unknown_channel_is_refused() -> None:
    message = vector_message(a_vector(np.zeros(2, np.float32)))
    message.channel_age_ns[99] = 1
    with pytest.raises(MalformedMessage, match="channel_age_ns key is unknown: 99"):
        decode_vector(message.SerializeToString())
