"""Feature vectors between message bytes and values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from libs.trading.features.vector import EmissionReason, FeatureVector
from libs.trading.market import Channel
from libs.wire.fields import (
    clock_message,
    clock_value,
    finite,
    member,
    number,
    parse,
    provenance_of,
    quote_message,
    quote_value,
    text,
)
from libs.wire.malformed import MalformedMessage
from protos.features.v1 import features_pb2

SENT_HEADER = "sent-ns"  # wall ns of sending, beside the message: the message itself is a function of the log alone


def sent_header(wall_ns: int) -> tuple[str, bytes]:
    """The header that says when a vector was handed to Kafka, finer than a record's own milliseconds."""
    return SENT_HEADER, b"%d" % wall_ns


def sent_ns(headers: Iterable[tuple[str, bytes]], otherwise: int) -> int:
    """Wall ns of sending; `otherwise` where no header says it."""
    for name, value in headers:
        if name == SENT_HEADER and value.isdigit():
            return int(value)
    return otherwise


def vector_message(vector: FeatureVector) -> features_pb2.FeatureVector:
    """The message of a vector; `values` goes out as little-endian float32 without any change of its bits."""
    return features_pb2.FeatureVector(
        id=vector.id,
        instrument=vector.instrument,
        session=vector.session,
        as_of_ns=vector.as_of,
        reason=number(vector.reason),
        ordinal=vector.ordinal,
        spec_hash=vector.spec_hash,
        values=vector.values.astype("<f4", copy=False).tobytes(),
        reasons=vector.reasons.astype("u1", copy=False).tobytes(),
        provenance=number(vector.provenance),
        received_time_ns=vector.received_time,
        known_at_ns=vector.known_at,
        clock=clock_message(vector.clock),
        quote=None if vector.quote is None else quote_message(vector.quote),
        last_price=vector.last_price,
        channel_age_ns={int(channel): age for channel, age in vector.channel_age.items()},
        input_offset=vector.input_offset,
        input_epoch=vector.input_epoch,
        emission_interval_ns=vector.emission_interval,
    )


def vector_value(message: features_pb2.FeatureVector) -> FeatureVector:
    """The vector of a message; its arrays are read-only views. Raises MalformedMessage."""
    if len(message.values) % 4:
        raise MalformedMessage(f"values has {len(message.values)} bytes, not a multiple of 4")
    values = np.frombuffer(message.values, dtype="<f4")
    reasons = np.frombuffer(message.reasons, dtype="u1")
    if len(values) != len(reasons):
        raise MalformedMessage(f"{len(values)} values but {len(reasons)} reasons")
    if message.emission_interval_ns <= 0:
        raise MalformedMessage(f"emission_interval_ns is {message.emission_interval_ns}, not above 0")
    return FeatureVector(
        id=text(message.id, "id"),
        instrument=text(message.instrument, "instrument"),
        session=text(message.session, "session"),
        as_of=message.as_of_ns,
        reason=member(EmissionReason, message.reason, "reason"),
        ordinal=message.ordinal,
        spec_hash=text(message.spec_hash, "spec_hash"),
        values=values,
        reasons=reasons,
        provenance=provenance_of(message.provenance),
        received_time=message.received_time_ns,
        known_at=message.known_at_ns,
        clock=clock_value(message),
        quote=quote_value(message),
        last_price=finite(message.last_price, "last_price") if message.HasField("last_price") else None,
        channel_age={member(Channel, key, "channel_age_ns key"): age for key, age in message.channel_age_ns.items()},
        input_offset=message.input_offset,
        input_epoch=message.input_epoch,
        emission_interval=message.emission_interval_ns,
    )


def encode_vector(vector: FeatureVector) -> bytes:
    return vector_message(vector).SerializeToString()


def decode_vector(data: bytes) -> FeatureVector:
    """Raises MalformedMessage that says which field is wrong."""
    return vector_value(parse(features_pb2.FeatureVector(), data))
