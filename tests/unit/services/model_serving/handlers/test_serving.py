"""Scoring takes one snapshot of the models, answers in order, and asks each bundle once."""

from __future__ import annotations

import threading
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from libs.trading.scoring import Prediction, Role
from services.model_serving.domain import Arrived, Unscored
from services.model_serving.handlers.serving import Models, Scoring, Served
from services.model_serving.ports import Admitted
from tests.builders.bundles import NAMES
from tests.builders.vectors import a_vector
from tests.unit.services.model_serving.fakes import SPEC, VIEW, FixedScorer, admitted

CHAMPION, CHALLENGER = Role.CHAMPION, Role.CHALLENGER


def served(model: Admitted, role: Role = CHAMPION) -> Served:
    return Served(model, role, VIEW.hash, 0)


def scoring(*models: Served) -> Scoring:
    registry = Models()
    for model in models:
        registry.put(model)
    return Scoring(registry, SPEC, partial(int, 77))


def test_without_a_model_nothing_is_said() -> None:
    arrived = [Arrived(a_vector()), Arrived(a_vector(ordinal=1))]
    assert scoring().score(CHAMPION, arrived) == [Unscored.NO_MODEL] * 2
    assert scoring().score_all(arrived) == [Unscored.NO_MODEL] * 2
    assert scoring(served(admitted(1), CHALLENGER)).score(CHAMPION, arrived) == [Unscored.NO_MODEL] * 2


@given(st.lists(st.booleans(), max_size=20))
def test_answers_come_in_order_and_only_whole_vectors_are_scored_in_one_run(whole: list[bool]) -> None:
    arrived = [
        Arrived(a_vector(ordinal=n, not_ready=() if ready else NAMES[:1]), offset=n) for n, ready in enumerate(whole)
    ]
    scorer = FixedScorer()
    model = admitted(1)
    answers = scoring(served(Admitted(model.facts, scorer, model.positions, model.integrity, None))).score(
        CHAMPION, arrived
    )
    for item, ready, answer in zip(arrived, whole, answers, strict=True):
        if ready:
            assert isinstance(answer, Prediction)
            assert (answer.vector_id, answer.input_offset, answer.predicted) == (item.vector.id, item.offset, 77)
        else:
            assert answer is Unscored.NOT_READY
    assert scorer.batches == ([sum(whole)] if any(whole) else [])


def test_both_roles_speak_and_one_bundle_speaks_once() -> None:
    arrived = [Arrived(a_vector())]
    both = scoring(served(admitted(1)), served(admitted(2, up=0.2), CHALLENGER)).score_all(arrived)
    assert [(answer.role, answer.score > 0) for answer in both if isinstance(answer, Prediction)] == [
        (CHAMPION, True),
        (CHALLENGER, False),
    ]
    same = scoring(served(admitted(1)), served(admitted(1), CHALLENGER)).score_all(arrived)
    assert [answer.role for answer in same if isinstance(answer, Prediction)] == [CHAMPION]
    alone = scoring(served(admitted(2), CHALLENGER)).score_all(arrived)
    assert [answer.role for answer in alone if isinstance(answer, Prediction)] == [CHALLENGER]


def test_a_swap_never_mixes_two_models_in_one_answer() -> None:
    models = Models()
    models.put(served(admitted(1, up=0.1)))
    subject = Scoring(models, SPEC, partial(int, 0))
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            models.put(served(admitted(2, up=0.8)))
            models.put(served(admitted(1, up=0.1)))

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(300):
            answers = subject.score(CHAMPION, [Arrived(a_vector(ordinal=n)) for n in range(4)])
            said = {(a.model_version, a.probabilities[2]) for a in answers if isinstance(a, Prediction)}
            assert said in ({(1, 0.1)}, {(2, 0.8)})
    finally:
        stop.set()
        swapper.join()


def test_dropping_a_role_leaves_the_other() -> None:
    models = Models()
    models.put(served(admitted(1)))
    models.put(served(admitted(2), CHALLENGER))
    before = models.now()
    models.drop(CHAMPION)
    assert set(models.now()) == {CHALLENGER}
    assert set(before) == {CHAMPION, CHALLENGER}
