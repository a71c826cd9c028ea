"""What the service needs from the world: a registry, a judge of bundles, a history of models, and someone to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from libs.trading.scoring import Prediction, Role
from services.model_serving.domain import Change, ModelFacts, Signed, Unscored


class RegistryUnavailable(Exception):
    """The registry does not answer or answers nonsense; the message says what was asked. Try again later."""


class BrokenVersion(Exception):
    """The registry answers, but has no such bundle; trying again does not help."""


class HistoryUnavailable(Exception):
    """The log of model events cannot be read or written now. Try again later."""


class MalformedVector(ValueError):
    """A vector that no model may read; the message names the field."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry says of the model: versions by alias, and when the newest version was registered (wall ns)."""

    aliases: Mapping[str, int]
    newest_created: int | None


class Registry(Protocol):
    """Where versions and wishes (aliases) are kept."""

    def registered(self) -> Registered | None:
        """None when the model is not registered at all. Raises RegistryUnavailable."""

    def created(self, version: int) -> int:
        """When a version was registered (wall ns). Raises RegistryUnavailable, BrokenVersion."""

    def fetch(self, version: int, folder: Path) -> None:
        """Download a version's bundle into an empty folder. Raises RegistryUnavailable, BrokenVersion."""

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        """Set tags on a version; an empty value takes the tag away. Raises RegistryUnavailable, BrokenVersion."""


class Scorer(Protocol):
    """A graph ready to run; threads may share it. Pure: the answer to a row depends on that row alone."""

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows (n, features) in the view's order to probabilities (n, classes)."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A bundle that passed every check, warmed up. `positions`: its view in vectors of the spec in force."""

    facts: ModelFacts
    scorer: Scorer
    positions: NDArray[np.intp]
    integrity: Signed
    evidence: Signed | None


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """`code` is a stable name; `digest` is "" when the bundle could not even be read."""

    code: str
    detail: str
    digest: str

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.detail}"


class Admission(Protocol):
    """The one place where a bundle's bytes, signatures, view, scope and golden rows are checked."""

    def admit(self, folder: Path, version: int, role: Role) -> Admitted | NotAdmitted: ...


class Cache(Protocol):
    """Accepted bundles on the local disk, so that a start needs no registry."""

    def incoming(self, version: int) -> Path:
        """An empty folder to download into."""

    def keep(self, folder: Path, digest: str) -> Path:
        """Move an accepted bundle to its place; returns it."""

    def find(self, digest: str) -> Path | None: ...

    def forget(self, folder: Path) -> None: ...

    def only(self, digests: frozenset[str]) -> None:
        """Drop every other bundle."""


class History(Protocol):
    """The log of what happened to models: who was accepted, refused, retired, and when."""

    def read(self) -> list[Change]:
        """Everything up to now, in order. Raises HistoryUnavailable."""

    def write(self, change: Change) -> None:
        """Returns when the log has it. Raises HistoryUnavailable."""


class Notices(Protocol):
    """Those who want to know: logs, metrics, alerts. Never raises."""

    def serving(self, facts: ModelFacts, role: Role) -> None: ...

    def refused(self, role: Role, version: int, digest: str, code: str, reason: str) -> None: ...

    def still_refused(self, role: Role, version: int, reason: str) -> None:
        """After a restart: this refusal is the last word about an alias."""

    def refusal_over(self, role: Role, version: int) -> None:
        """The alias no longer names the refused version."""

    def retired(self, role: Role, version: int) -> None: ...

    def created(self, role: Role, wall_ns: int) -> None:
        """When the version that serves a role was registered."""

    def newest_created(self, wall_ns: int | None) -> None:
        """When the newest version was registered, whatever its aliases; None while there is none."""

    def waiting(self, dependency: str, reason: str | None) -> None:
        """A dependency is away (reason), or back (None); said once per change."""

    def unscored(self, reason: Unscored, count: int) -> None: ...

    def predicted(self, predictions: Sequence[Prediction]) -> None:
        """Predictions that the log has acknowledged."""
