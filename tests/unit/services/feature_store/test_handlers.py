"""The newest vector of each instrument, and those who watch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from libs.trading.features.vector import EmissionReason, FeatureVector
from libs.trading.market import WALL_CLOCK, Provenance
from services.feature_store.domain import Published, not_ready_counts
from services.feature_store.handlers import LatestVectors


def a_vector(**changes: Any) -> FeatureVector:
    vector = FeatureVector(
        id="id",
        instrument="x",
        session="s",
        as_of=100,
        reason=EmissionReason.BOUNDARY,
        ordinal=0,
        spec_hash="spec",
        values=np.zeros(2, np.float32),
        reasons=np.zeros(2, np.uint8),
        provenance=Provenance.SIMULATED,
        received_time=101,
        known_at=101,
        clock=WALL_CLOCK,
        quote=None,
        last_price=None,
        channel_age={},
        input_offset=1,
        input_epoch=5,
        emission_interval=10,
    )
    return replace(vector, **changes)


def put(latest: LatestVectors, **changes: Any) -> None:
    latest.put(Published(a_vector(**changes), b"message"))


def newest(latest: LatestVectors, instrument: str = "x") -> tuple[int, int] | None:
    published = latest.get(instrument)
    return None if published is None else (published.vector.input_epoch, published.vector.as_of)


def test_the_greatest_as_of_stays() -> None:
    latest = LatestVectors("spec")
    for as_of in (100, 120, 110):
        put(latest, as_of=as_of)
    assert newest(latest) == (5, 120)


def test_a_later_session_may_play_an_earlier_time() -> None:
    latest = LatestVectors("spec")
    put(latest, as_of=900)
    put(latest, as_of=50, input_epoch=6, session="t")
    assert newest(latest) == (6, 50)


def test_vectors_of_another_spec_are_not_answered_with() -> None:
    latest = LatestVectors("spec")
    put(latest, spec_hash="other")
    assert newest(latest) is None


def test_what_becomes_the_newest_is_shown_and_nothing_older() -> None:
    shown: list[tuple[str, int]] = []
    latest = LatestVectors("spec", lambda instrument, published: shown.append((instrument, published.vector.as_of)))
    put(latest, instrument="y", as_of=100)
    put(latest, as_of=300)
    put(latest, as_of=200)
    put(latest, as_of=400, spec_hash="other")
    assert shown == [("y", 100), ("x", 300)]


def test_missing_values_are_counted_by_reason() -> None:
    vectors = [a_vector(reasons=np.array(reasons, np.uint8)) for reasons in ([0, 1], [1, 2])]
    assert not_ready_counts(vectors) == {1: 2, 2: 1}
