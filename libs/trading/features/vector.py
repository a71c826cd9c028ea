"""One feature vector: an instrument's state as numbers at one moment of event time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from libs.trading.market import Channel, Provenance, Quote, SessionClock


class EmissionReason(IntEnum):
    BOUNDARY = 1
    TRIGGER = 2


@dataclass(frozen=True, slots=True, eq=False)
class FeatureVector:
    """`values` is float32 of shape (n_features,), `reasons` uint8 of the same shape (0 = ready, see `NotReady`).

    All times are ns since 1970 UTC in session time; `channel_age` is ns before `as_of` of the last event of a channel.
    """

    id: str
    instrument: str
    session: str
    as_of: int
    reason: EmissionReason
    ordinal: int
    spec_hash: str
    values: NDArray[np.float32]
    reasons: NDArray[np.uint8]
    provenance: Provenance
    received_time: int
    known_at: int
    clock: SessionClock
    quote: Quote | None
    last_price: float | None
    channel_age: Mapping[Channel, int]
    input_offset: int
    input_epoch: int
    emission_interval: int


def vector_id(session: str, instrument: str, as_of: int, reason: EmissionReason, ordinal: int, spec_hash: str) -> str:
    """The identity of a vector: 32 hex digits, the same whenever the same log gives the same vector."""
    text = f"{session}|{instrument}|{as_of}|{int(reason)}|{ordinal}|{spec_hash}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
