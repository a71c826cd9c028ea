"""Vectors and predictions are joined by id, and every difference is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from libs.runtime.kafka import Record
from libs.trading.features.vector import FeatureVector
from libs.trading.scoring import Prediction, Role, prediction_id
from libs.wire.features import encode_vector
from libs.wire.predictions import encode_prediction
from tests.builders.bundles import a_spec
from tests.builders.orders import a_prediction
from tests.builders.vectors import a_vector
from tests.cluster.scores import Scores, joined, since

ALL = np.arange(len(a_spec().names))


def a_record(value: bytes, offset: int = 0) -> Record:
    return Record("t", 0, offset, 0, None, value)


def an_answer(vector: FeatureVector, role: Role = Role.CHAMPION, digest: str = "d1", **parts: Any) -> Prediction:
    own: dict[str, Any] = {
        "id": prediction_id(vector.id, digest),
        "vector_id": vector.id,
        "bundle_digest": digest,
        "role": role,
    }
    return a_prediction(**(own | parts))


def scores(vectors: list[FeatureVector], answers: list[Prediction], *roles: Role) -> Scores:
    return joined(
        [a_record(encode_vector(vector)) for vector in vectors],
        [a_record(encode_prediction(answer)) for answer in answers],
        ALL,
        roles or (Role.CHAMPION,),
    )


def test_each_complete_vector_with_one_answer_is_no_difference() -> None:
    vectors = [a_vector(ordinal=1), a_vector(ordinal=2)]
    found = scores(vectors, [an_answer(vector) for vector in vectors])
    assert (found.vectors, found.ready, found.by_role, found.differences) == (2, 2, {"champion": 2}, ())


def test_twice_the_same_is_counted_and_no_difference() -> None:
    vector = a_vector(ordinal=1)
    found = scores([vector, vector], [an_answer(vector), an_answer(vector)])
    assert (found.doubled_vectors, found.doubled_predictions, found.differences) == (1, 1, ())


def test_a_vector_with_two_contents_is_a_difference() -> None:
    vector = a_vector(ordinal=1)
    other = replace(vector, values=vector.values + np.float32(1))
    found = scores([vector, other], [an_answer(vector)])
    assert found.differences == (f"vector {vector.id} has two contents",)


def test_a_complete_vector_without_an_answer_of_a_role_is_a_difference() -> None:
    vector = a_vector(ordinal=1)
    found = scores([vector], [an_answer(vector)], Role.CHAMPION, Role.CHALLENGER)
    assert found.differences == (f"1 complete vectors have no prediction of challenger: ['{vector.id}']",)


def test_a_vector_that_was_not_ready_needs_no_answer() -> None:
    vector = a_vector(ordinal=1, not_ready=(a_spec().names[0],))
    found = scores([vector], [])
    assert (found.vectors, found.ready, found.differences) == (1, 0, ())


def test_two_answers_of_one_role_are_a_difference() -> None:
    vector = a_vector(ordinal=1)
    found = scores([vector], [an_answer(vector), an_answer(vector, digest="d2")])
    assert len(found.differences) == 1
    assert "2 predictions of champion" in found.differences[0]


def test_answers_to_earlier_vectors_are_not_looked_at() -> None:
    found = scores([], [an_answer(a_vector(ordinal=1))])
    assert (found.by_role, found.differences) == ({}, ())


def test_a_stretch_begins_at_the_next_offset_of_its_partition() -> None:
    records = [a_record(b"", offset) for offset in range(4)]
    assert [record.offset for record in since(records, {0: 2})] == [2, 3]
    assert len(since(records, {})) == 4
