"""A call that the place refuses is made again, and every try that failed is said and counted."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import REGISTRY

from libs.wire.places import PlaceAway, PlaceProblem
from services.archive.adapters import patience
from services.archive.adapters.patience import Patience


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("archive_refused_total", {"reason": reason}) or 0.0


def test_it_is_made_again_until_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_S", 0.001)
    answers: list[Exception | None] = [PlaceAway("s3://x", "away"), PlaceAway("s3://x", "full"), None]
    before = refused("away"), refused("full")

    def call() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    assert Patience(threading.Event(), "s3://x").insist(call)
    assert (refused("away"), refused("full")) == (before[0] + 1, before[1] + 1)
    assert REGISTRY.get_sample_value("archive_waiting_seconds") == 0.0


def test_being_told_to_stop_ends_the_waiting() -> None:
    stop = threading.Event()

    def call() -> None:
        stop.set()
        raise PlaceAway("s3://x", "away")

    assert not Patience(stop, "s3://x").insist(call)


def test_what_a_person_must_change_is_not_waited_for() -> None:
    def call() -> None:
        raise PlaceProblem("s3://x: no bucket")

    with pytest.raises(PlaceProblem):
        Patience(threading.Event(), "s3://x").insist(call)
