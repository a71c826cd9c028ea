"""A registry, a cache, a history and a judge in memory, each of which can be away or say no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from libs.trading.market import Provenance
from libs.trading.scoring import DIRECTION_CLASSES, LabelKind, Prediction, Role, Scope
from services.model_serving.domain import Change, ModelFacts, Signed, Unscored
from services.model_serving.ports import (
    Admitted,
    BrokenVersion,
    HistoryUnavailable,
    NotAdmitted,
    Registered,
    RegistryUnavailable,
)
from tests.builders.bundles import NAMES, a_spec

SPEC = a_spec()
VIEW = SPEC.view(NAMES)


class FixedScorer:
    """Says `up` for everyone, and counts how often it was asked."""

    def __init__(self, up: float = 0.5) -> None:
        self.answer = np.array([0.9 - up, 0.1, up])
        self.batches: list[int] = []

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        self.batches.append(len(rows))
        return np.tile(self.answer, (len(rows), 1))


def digest_of(version: int) -> str:
    return f"{version:064x}"


def admitted(version: int, up: float = 0.5, **changes: object) -> Admitted:
    facts = ModelFacts(
        "ProductionEnsemble",
        version,
        digest_of(version),
        VIEW,
        LabelKind.DIRECTION,
        5_000_000_000,
        DIRECTION_CLASSES,
        0.2,
        Provenance.SIMULATED,
        Scope.SIMULATED,
    )
    facts = replace(facts, **changes)  # type: ignore[arg-type]
    return Admitted(facts, FixedScorer(up), SPEC.project(VIEW), Signed(b"i", b"s", "k"), None)


class FakeRegistry:
    """`gone`: versions without a bundle. `away`: all fails; `tags_away`: tagging does; `bundles_away`: fetching."""

    def __init__(self) -> None:
        self.wishes: dict[str, int] | None = {}
        self.newest: int | None = None
        self.tags: dict[int, dict[str, str]] = {}
        self.fetched: list[int] = []
        self.gone: set[int] = set()
        self.away = self.tags_away = self.bundles_away = False

    def registered(self) -> Registered | None:
        self._answer()
        return None if self.wishes is None else Registered(self.wishes, self.newest)

    def created(self, version: int) -> int:
        self._answer()
        if version in self.gone:
            raise BrokenVersion("no such version")
        return version * 1000

    def fetch(self, version: int, folder: Path) -> None:
        self._answer()
        if self.bundles_away:
            raise RegistryUnavailable("bundles")
        self.fetched.append(version)
        if version in self.gone:
            raise BrokenVersion("no artifacts")
        (folder / "version").write_text(str(version))

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        self._answer()
        if self.tags_away:
            raise RegistryUnavailable("tags")
        kept = self.tags.setdefault(version, {}) | dict(tags)
        self.tags[version] = {key: value for key, value in kept.items() if value}

    def _answer(self) -> None:
        if self.away:
            raise RegistryUnavailable("away")


class FakeAdmission:
    """`no` says why a version is not admitted; `other` gives it another digest than its own."""

    def __init__(self) -> None:
        self.no: dict[int, str] = {}
        self.other: dict[int, str] = {}

    def admit(self, folder: Path, version: int, role: Role) -> Admitted | NotAdmitted:
        assert (folder / "version").read_text() == str(version)
        if version in self.no:
            return NotAdmitted(self.no[version], "because", digest_of(version))
        return admitted(version, digest=self.other.get(version, digest_of(version)))


class FakeHistory:
    def __init__(self, changes: Sequence[Change] = ()) -> None:
        self.changes = list(changes)
        self.away = False

    def read(self) -> list[Change]:
        self._answer()
        return list(self.changes)

    def write(self, change: Change) -> None:
        self._answer()
        self.changes.append(change)

    def _answer(self) -> None:
        if self.away:
            raise HistoryUnavailable("away")


class Told:
    """Notices, remembered."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: dict[Unscored, int] = {}
        self.acknowledged: list[Prediction] = []
        self.ages: dict[Role, int] = {}
        self.newest: int | None = None
        self.away: set[str] = set()
        self.turns: list[str] = []  # what went away and came back, as a log would tell it

    def serving(self, facts: ModelFacts, role: Role) -> None:
        self.lines.append(f"serving {role.name} {facts.version}")

    def refused(self, role: Role, version: int, digest: str, code: str, reason: str) -> None:
        self.lines.append(f"refused {role.name} {version} {code}")

    def still_refused(self, role: Role, version: int, reason: str) -> None:
        self.lines.append(f"still refused {role.name} {version}")

    def refusal_over(self, role: Role, version: int) -> None:
        self.lines.append(f"refusal over {role.name} {version}")

    def created(self, role: Role, wall_ns: int) -> None:
        self.ages[role] = wall_ns

    def newest_created(self, wall_ns: int | None) -> None:
        self.newest = wall_ns

    def retired(self, role: Role, version: int) -> None:
        self.lines.append(f"retired {role.name} {version}")

    def waiting(self, dependency: str, reason: str | None) -> None:
        if reason is not None:
            self.lines.append(f"waiting {dependency}")
        if (dependency in self.away) == (reason is None):
            self.away ^= {dependency}
            self.turns.append(f"{dependency} {'back' if reason is None else 'away'}")

    def unscored(self, reason: Unscored, count: int) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count

    def predicted(self, predictions: Sequence[Prediction]) -> None:
        self.acknowledged += predictions
