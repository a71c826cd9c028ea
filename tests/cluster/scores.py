"""Joins vectors with predictions by id: each vector one content, each role at most one answer, none missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.runtime.kafka import Record
from libs.trading.scoring import Role
from libs.wire.features import decode_vector
from libs.wire.predictions import decode_prediction


@dataclass(frozen=True, slots=True)
class Scores:
    """What a stretch of the log holds: distinct vectors, how many of them were written twice, answers by role."""

    vectors: int
    doubled_vectors: int
    ready: int
    by_role: dict[str, int]
    doubled_predictions: int
    differences: tuple[str, ...]

    @property
    def told(self) -> str:
        roles = ", ".join(f"{count} by {role}" for role, count in sorted(self.by_role.items()))
        return (
            f"{self.vectors} vectors ({self.doubled_vectors} written twice, same bytes), {self.ready} complete; "
            f"predictions: {roles or 'none'} ({self.doubled_predictions} written twice)"
        )


def since(records: Iterable[Record], offsets: dict[int, int]) -> list[Record]:
    """The records from these next offsets on, by partition."""
    return [record for record in records if record.offset >= offsets.get(record.partition, 0)]


def joined(
    vectors: Sequence[Record],
    predictions: Sequence[Record],
    positions: NDArray[np.intp],
    roles: Sequence[Role],
) -> Scores:
    """Every complete vector of `vectors` has exactly one prediction of each role by id, and no vector two contents.

    `positions`: where the features that the models look at lie in a vector. `predictions` may hold those of earlier
    vectors too; they are not looked at.
    """
    differences: list[str] = []
    contents: dict[str, bytes] = {}
    complete: set[str] = set()
    written: Counter[str] = Counter()
    for record in vectors:
        vector = decode_vector(record.value or b"")
        payload = vector.values.tobytes() + vector.reasons.tobytes()
        written[vector.id] += 1
        if contents.setdefault(vector.id, payload) != payload:
            differences.append(f"vector {vector.id} has two contents")
        if not vector.reasons[positions].any() and not np.isnan(vector.values[positions]).any():
            complete.add(vector.id)
    answers: dict[tuple[str, Role], set[str]] = defaultdict(set)
    said: Counter[str] = Counter()
    for record in predictions:
        prediction = decode_prediction(record.value or b"")
        if prediction.vector_id in contents:
            answers[prediction.vector_id, prediction.role].add(prediction.id)
            said[prediction.id] += 1
    for (vector_id, role), ids in answers.items():
        if len(ids) > 1:
            differences.append(f"vector {vector_id} has {len(ids)} predictions of {role.name.lower()}: {sorted(ids)}")
    for role in roles:
        silent = [vector_id for vector_id in complete if (vector_id, role) not in answers]
        if silent:
            differences.append(
                f"{len(silent)} complete vectors have no prediction of {role.name.lower()}: {silent[:3]}"
            )
    return Scores(
        vectors=len(contents),
        doubled_vectors=sum(count > 1 for count in written.values()),
        ready=len(complete),
        by_role=dict(Counter(role.name.lower() for _, role in answers)),
        doubled_predictions=sum(count > 1 for count in said.values()),
        differences=tuple(differences),
    )
