"""The reconciler against a registry, a history and a judge that fail in turn."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from libs.trading.scoring import Role
from services.model_serving.adapters.cache import BundleCache
from services.model_serving.domain import ChangeKind
from services.model_serving.handlers.reconcile import Reconciler
from services.model_serving.handlers.serving import Models
from services.model_serving.ports import HistoryUnavailable
from tests.unit.services.model_serving.fakes import FakeAdmission, FakeHistory, FakeRegistry, Told, digest_of

CHAMPION, CHALLENGER = Role.CHAMPION, Role.CHALLENGER


@dataclass
class World:
    """Everything that outlives a process, and one process."""

    folder: Path
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    admission: FakeAdmission = field(default_factory=FakeAdmission)
    history: FakeHistory = field(default_factory=FakeHistory)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.told = Told()
        self.models = Models()
        self.cache = BundleCache(self.folder)
        ticks = itertools.count(1000)
        clock: Callable[[], int] = partial(next, ticks)
        self.reconciler = Reconciler(
            "ProductionEnsemble",
            self.models,
            registry=self.registry,
            admission=self.admission,
            cache=self.cache,
            history=self.history,
            notices=self.told,
            clock=clock,
        )
        self.reconciler.restore()

    def wish(self, version: int | None, alias: str = "champion") -> None:
        assert self.registry.wishes is not None
        if version is None:
            del self.registry.wishes[alias]
        else:
            self.registry.wishes[alias] = version

    def step(self, times: int = 1, *, again: bool = False) -> None:
        for _ in range(times):
            self.reconciler.step(again=again)

    def serves(self, role: Role = CHAMPION) -> int | None:
        served = self.models.now().get(role)
        return None if served is None else served.admitted.facts.version

    def kinds(self) -> list[tuple[str, int]]:
        return [(change.kind.name, change.version) for change in self.history.changes]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cache")


def test_a_wish_is_fetched_once_recorded_and_served(world: World) -> None:
    world.wish(1)
    world.step(5)
    assert world.serves() == 1
    assert world.registry.fetched == [1]
    assert world.kinds() == [("ACCEPTED", 1)]
    assert world.told.lines == ["serving CHAMPION 1"]


def test_a_refused_wish_is_told_tagged_and_recorded_once_and_the_last_accepted_serves(world: World) -> None:
    world.wish(1)
    world.step()
    world.admission.no[2] = "SCOPE_TOO_LOW"
    world.wish(2)
    world.step(5)
    assert world.serves() == 1
    assert world.registry.tags == {2: {"refused_reason": "SCOPE_TOO_LOW: because", "refused_alias": "champion"}}
    assert world.kinds() == [("ACCEPTED", 1), ("REFUSED", 2)]
    assert world.told.lines.count("refused CHAMPION 2 SCOPE_TOO_LOW") == 1
    assert world.reconciler.refused()[CHAMPION].version == 2


def test_a_refused_version_that_is_fixed_is_accepted_when_asked_and_its_tag_is_cleared(world: World) -> None:
    world.admission.no[1] = "EVIDENCE_MISSING"
    world.wish(1)
    world.step()
    del world.admission.no[1]
    world.step()
    assert world.serves() is None
    world.step(again=True)
    assert world.serves() == 1
    world.step()
    assert world.registry.tags[1] == {}
    assert world.reconciler.refused() == {}


def refused(world: World) -> None:
    """Version 1 serves, the alias names 2, which is refused."""
    world.wish(1)
    world.step()
    world.admission.no[2] = "SCOPE_TOO_LOW"
    world.wish(2)
    world.step()


def test_a_refusal_is_over_when_the_alias_goes_back(world: World) -> None:
    refused(world)
    world.wish(1)
    world.step(3)
    assert world.registry.tags == {2: {}}
    assert world.reconciler.refused() == {}
    assert world.told.lines[-1] == "refusal over CHAMPION 2"
    assert world.kinds() == [("ACCEPTED", 1), ("REFUSED", 2), ("ACCEPTED", 1)]
    assert world.serves() == 1
    world.restart()
    world.step()
    assert world.reconciler.refused() == {}
    assert not any("refused" in line for line in world.told.lines)


def test_a_refusal_is_over_when_the_alias_goes_on_to_a_good_or_to_another_bad_version(world: World) -> None:
    refused(world)
    world.admission.no[3] = "GOLDEN_ROWS_DIFFER"
    world.wish(3)
    world.step()
    assert world.registry.tags[2] == {}
    assert world.registry.tags[3]["refused_reason"].startswith("GOLDEN_ROWS_DIFFER")
    assert world.reconciler.refused()[CHAMPION].version == 3
    world.wish(4)
    world.step()
    assert world.registry.tags == {2: {}, 3: {}}
    assert (world.serves(), world.reconciler.refused()) == (4, {})


def test_a_refusal_is_over_when_the_alias_is_taken_away_and_nobody_serves(world: World) -> None:
    world.admission.no[2] = "SCOPE_TOO_LOW"
    world.wish(2)
    world.step()
    world.wish(None)
    world.step()
    assert (world.registry.tags, world.reconciler.refused()) == ({2: {}}, {})


def test_a_version_refused_under_both_aliases_keeps_its_tag_until_the_second_moves(world: World) -> None:
    refused(world)
    world.wish(2, "challenger")
    world.step()
    world.wish(1)
    world.step()
    assert world.registry.tags[2] == {"refused_reason": "SCOPE_TOO_LOW: because", "refused_alias": "challenger"}
    world.wish(None, "challenger")
    world.step()
    assert world.registry.tags[2] == {}


def test_after_a_restart_a_refusal_is_seen_also_while_the_registry_is_away_and_tried_once_more(world: World) -> None:
    refused(world)
    world.registry.away = True
    world.restart()
    world.step()
    assert world.serves() == 1
    assert world.reconciler.refused()[CHAMPION].version == 2
    assert "still refused CHAMPION 2" in world.told.lines
    world.registry.away = False
    del world.admission.no[2]  # such as other keys, which only a restart brings
    world.step()
    assert (world.serves(), world.reconciler.refused()) == (2, {})


def test_a_replica_without_a_cache_scores_nothing_before_the_last_accepted_is_back(world: World) -> None:
    world.wish(1)
    world.step()
    world.cache.only(frozenset())
    world.registry.away = True
    world.restart()
    stop = threading.Event()
    runs = threading.Thread(target=world.reconciler.run, args=(stop, 0.01))
    runs.start()
    try:
        assert not world.reconciler._restored.wait(0.2)
        world.registry.away = False
        assert world.reconciler._restored.wait(5.0)
        assert world.serves() == 1
    finally:
        stop.set()
        runs.join()


def test_the_age_of_who_serves_and_of_the_newest_version_is_told(world: World) -> None:
    world.registry.newest = 77
    world.wish(1)
    world.step()
    assert (world.told.ages, world.told.newest) == ({CHAMPION: 1000}, 77)
    world.wish(2)
    world.step()
    assert world.told.ages == {CHAMPION: 2000}
    world.registry.away = True
    world.restart()
    world.step()
    assert (world.serves(), world.told.ages) == (2, {})
    world.registry.away = False
    world.step()
    assert world.told.ages == {CHAMPION: 2000}


def test_a_version_without_a_bundle_is_refused(world: World) -> None:
    world.registry.gone.add(1)
    world.wish(1)
    world.step(3)
    assert world.told.lines == ["refused CHAMPION 1 BROKEN_BUNDLE"]
    assert world.registry.fetched == [1]


def test_nothing_is_served_that_is_not_recorded_first(world: World) -> None:
    world.history.away = True
    world.wish(1)
    world.step(2)
    assert world.serves() is None
    assert "waiting history" in world.told.lines
    world.history.away = False
    world.step()
    assert world.serves() == 1


def test_what_is_away_is_told_once_until_it_is_back(world: World) -> None:
    world.wish(1)
    world.step()
    world.history.away = True
    world.wish(2)
    world.step(3)
    assert world.told.turns == ["history away"]
    world.history.away = False
    world.step(2)
    assert world.told.turns == ["history away", "history back"]
    world.told.turns.clear()
    world.admission.no[3] = "VIEW_NOT_SERVABLE"
    world.wish(3)
    world.registry.tags_away = True  # while the aliases can be read
    world.step(3)
    world.registry.tags_away = False
    world.step(2)
    assert world.told.turns == ["registry away", "registry back"]


def test_a_registry_of_which_only_the_bundles_are_away_is_told_once(world: World) -> None:
    world.wish(1)
    world.registry.bundles_away = True
    world.step(3)
    assert (world.told.turns, world.serves()) == (["registry away"], None)
    world.registry.bundles_away = False
    world.step(2)
    assert (world.told.turns, world.serves()) == (["registry away", "registry back"], 1)


def test_a_registry_that_goes_away_changes_nothing_and_owed_tags_are_paid_later(world: World) -> None:
    world.wish(1)
    world.step()
    world.admission.no[2] = "VIEW_NOT_SERVABLE"
    world.wish(2)
    world.registry.tags_away = True
    world.step(3)
    assert world.serves() == 1
    assert world.kinds().count(("REFUSED", 2)) == 1
    world.registry.away = True
    world.step(3)
    assert world.serves() == 1
    world.registry.away = world.registry.tags_away = False
    world.step()
    assert "refused_reason" in world.registry.tags[2]


def test_an_older_wish_rolls_back_and_a_removed_alias_retires(world: World) -> None:
    for version in (1, 2, 1):
        world.wish(version)
        world.step()
    world.wish(None)
    world.step(2)
    assert world.kinds() == [("ACCEPTED", 1), ("ACCEPTED", 2), ("ROLLED_BACK", 1), ("RETIRED", 1)]
    assert world.serves() is None
    world.restart()
    assert world.serves() is None


def test_a_registry_without_the_model_retires_nobody(world: World) -> None:
    world.wish(1)
    world.step()
    world.registry.wishes = None
    world.step(2)
    assert world.serves() == 1


def test_a_restart_serves_from_the_cache_with_the_registry_away(world: World) -> None:
    world.wish(1)
    world.wish(2, "challenger")
    world.step()
    world.registry.away = True
    world.restart()
    assert (world.serves(CHAMPION), world.serves(CHALLENGER)) == (1, 2)
    world.step(3)
    assert (world.serves(CHAMPION), world.serves(CHALLENGER)) == (1, 2)
    assert len(world.history.changes) == 2
    accepted = world.models.now()[CHAMPION].accepted_time
    assert accepted == world.history.changes[0].time


def test_a_restart_without_cache_fetches_the_last_accepted_although_the_wish_is_refused(world: World) -> None:
    refused(world)
    world.cache.only(frozenset())
    world.registry.away = True
    world.restart()
    assert world.serves() is None
    world.registry.away = False
    world.step()
    assert world.serves() == 1
    assert world.kinds() == [("ACCEPTED", 1), ("REFUSED", 2)]
    assert world.cache.find(digest_of(1)) is not None


@pytest.mark.parametrize("fault", ["refused now", "another digest"])
def test_a_restart_checks_the_last_accepted_anew(world: World, fault: str) -> None:
    world.wish(1)
    world.step()
    if fault == "refused now":
        world.admission.no[1] = "INTEGRITY_UNTRUSTED"
    else:
        world.admission.other[1] = "ee" * 32
    world.registry.away = True
    world.restart()
    assert world.serves() is None
    assert world.cache.find(digest_of(1)) is None


def test_champion_and_challenger_are_independent(world: World) -> None:
    world.admission.no[2] = "EVIDENCE_MISSING"
    world.wish(2)
    world.wish(3, "challenger")
    world.step()
    assert (world.serves(CHAMPION), world.serves(CHALLENGER)) == (None, 3)


def test_a_start_waits_for_the_history(world: World) -> None:
    world.history.away = True
    with pytest.raises(HistoryUnavailable):
        world.restart()


def test_models_of_other_names_are_none_of_ours(world: World) -> None:
    world.wish(1)
    world.step()
    changes = [change for change in world.history.changes if change.kind is ChangeKind.ACCEPTED]
    assert changes[0].model_name == "ProductionEnsemble"
    world.history.changes = [replace(changes[0], model_name="Other")]
    world.restart()
    assert world.serves() is None
