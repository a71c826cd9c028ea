"""Feature vectors of the platform's spec, whole and warm unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from libs.trading.features.spec import FeatureSpec, NotReady
from libs.trading.features.vector import EmissionReason, FeatureVector, vector_id
from libs.trading.market import Channel, Provenance, Quote, SessionClock
from tests.builders.bundles import a_spec

START_NS = 1_700_000_000_000_000_000


def a_vector(
    values: Mapping[str, float] | None = None,
    *,
    spec: FeatureSpec | None = None,
    instrument: str = "bybit.linear.BTCUSDT",
    session: str = "s1",
    ordinal: int = 0,
    provenance: Provenance = Provenance.SIMULATED,
    not_ready: tuple[str, ...] = (),
    **changes: object,
) -> FeatureVector:
    """`values` by feature name (others 0.5); `not_ready`: NaN with a reason; `changes` replace fields."""
    spec = spec or a_spec()
    numbers = np.full(len(spec.names), 0.5, np.float32)
    reasons = np.zeros(len(spec.names), np.uint8)
    for name, value in (values or {}).items():
        numbers[spec.names.index(name)] = value
    for name in not_ready:
        numbers[spec.names.index(name)] = np.nan
        reasons[spec.names.index(name)] = NotReady.WARMING
    as_of = START_NS + ordinal * spec.emission_interval
    reason = EmissionReason.BOUNDARY
    vector = FeatureVector(
        id=vector_id(session, instrument, as_of, reason, 0, spec.hash),
        instrument=instrument,
        session=session,
        as_of=as_of,
        reason=reason,
        ordinal=0,
        spec_hash=spec.hash,
        values=numbers,
        reasons=reasons,
        provenance=provenance,
        received_time=as_of + 1_000_000,
        known_at=as_of + 1_000_000,
        clock=SessionClock(as_of, as_of, 1.0),
        quote=Quote(60000.0, 1.0, 60000.1, 1.0),
        last_price=60000.0,
        channel_age={Channel.BOOK: 0},
        input_offset=ordinal,
        input_epoch=1,
        emission_interval=spec.emission_interval,
    )
    return replace(vector, **changes)  # type: ignore[arg-type]
