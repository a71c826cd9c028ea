"""Serves the accepted models: one snapshot of them per call, swapped between two predictions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from libs.trading.features.spec import FeatureSpec
from libs.trading.scoring import Prediction, Role
from services.model_serving.domain import Arrived, Unscored, prediction_of, why_unscored
from services.model_serving.ports import Admitted


@dataclass(frozen=True, slots=True)
class Served:
    """An admitted model in its role; `accepted_time` is wall ns."""

    admitted: Admitted
    role: Role
    view_hash: str
    accepted_time: int


class Models:
    """Who serves which role now. Readers take the whole mapping at once; a swap replaces it."""

    def __init__(self) -> None:
        self._served: Mapping[Role, Served] = MappingProxyType({})
        self._swap = threading.Lock()

    def now(self) -> Mapping[Role, Served]:
        return self._served

    def put(self, served: Served) -> None:
        with self._swap:
            self._served = MappingProxyType({**self._served, served.role: served})

    def drop(self, role: Role) -> None:
        with self._swap:
            self._served = MappingProxyType({key: value for key, value in self._served.items() if key is not role})


class Scoring:
    """Scores vectors of one spec; `clock` gives wall ns."""

    def __init__(self, models: Models, spec: FeatureSpec, clock: Callable[[], int]) -> None:
        self.models = models
        self._spec_hash = spec.hash
        self._clock = clock

    def score(self, role: Role, arrived: Sequence[Arrived]) -> list[Prediction | Unscored]:
        """One answer per vector, in order: what the role's model says, or why it says nothing."""
        served = self.models.now().get(role)
        if served is None:
            return [Unscored.NO_MODEL] * len(arrived)
        return self._score(served, arrived)

    def score_all(self, arrived: Sequence[Arrived]) -> list[Prediction | Unscored]:
        """Champion's answers, then the challenger's unless it is the same bundle: one bundle says a thing once."""
        models = self.models.now()
        champion, challenger = models.get(Role.CHAMPION), models.get(Role.CHALLENGER)
        if champion is None and challenger is None:
            return [Unscored.NO_MODEL] * len(arrived)
        answers: list[Prediction | Unscored] = []
        if champion is not None:
            answers += self._score(champion, arrived)
        if challenger is not None and (champion is None or digest_of(challenger) != digest_of(champion)):
            answers += self._score(challenger, arrived)
        return answers

    def _score(self, served: Served, arrived: Sequence[Arrived]) -> list[Prediction | Unscored]:
        facts, positions = served.admitted.facts, served.admitted.positions
        answers: list[Prediction | Unscored | None] = [
            why_unscored(item.vector, facts, self._spec_hash, positions) for item in arrived
        ]
        open_places = [place for place, answer in enumerate(answers) if answer is None]
        if open_places:
            rows = np.stack([arrived[place].vector.values[positions] for place in open_places])
            probabilities = served.admitted.scorer.score(rows)
            predicted = self._clock()
            for place, row in zip(open_places, probabilities, strict=True):
                answers[place] = prediction_of(
                    arrived[place].vector,
                    facts,
                    served.role,
                    row,
                    view_hash=served.view_hash,
                    input_offset=arrived[place].offset,
                    vector_written=arrived[place].written,
                    predicted=predicted,
                )
        return [answer for answer in answers if answer is not None]


def digest_of(served: Served) -> str:
    return served.admitted.facts.digest
