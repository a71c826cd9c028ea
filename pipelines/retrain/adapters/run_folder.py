"""The folder of one run: what each step leaves for the next, as plain files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.wire.durable import write_durably

MORE_DATA = "learn from more data (a longer --window, an earlier --from, more bars)"  # where a step has too little


class RunError(Exception):
    """A run that cannot go on; the message says what to do."""


class NotYet(RunError):
    """Something outside is away or not there yet: trying again later may do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths below <state>/runs/<ID>. Tables are Parquet, matrices .npy, facts JSON."""

    path: Path

    @property
    def snapshot_table(self) -> Path:
        """All vectors of the frozen stretch in (as_of, instrument, session) order."""
        return self.path / "snapshot" / "vectors.parquet"

    @property
    def snapshot_facts(self) -> Path:
        return self.path / "snapshot" / "facts.json"

    @property
    def dataset_table(self) -> Path:
        """One line per row that can be learnt: quotes, times, future return, uniqueness weight."""
        return self.path / "dataset" / "rows.parquet"

    @property
    def dataset_features(self) -> Path:
        """float32 (n, F), parallel to the dataset's table, in the view's order."""
        return self.path / "dataset" / "features.npy"

    @property
    def dataset_facts(self) -> Path:
        return self.path / "dataset" / "facts.json"

    @property
    def out_of_fold(self) -> Path:
        """`row` (place in the dataset), `fold`, `label` and each member's raw scores."""
        return self.path / "train" / "out_of_fold.parquet"

    @property
    def train_facts(self) -> Path:
        return self.path / "train" / "facts.json"

    def member(self, file_name: str) -> Path:
        """A member fitted on all rows before the hold-out."""
        return self.path / "train" / "members" / file_name

    def fit(self, member: str, fold: str) -> Path:
        """One member fitted on one fold's rows ("1", "2", … or "final"), in its own format."""
        return self.path / "fits" / f"{member}-{fold}.model"

    def finished(self, step: str) -> Path:
        """Says with which inputs a step ended."""
        return self.path / "finished" / f"{step}.json"

    @property
    def calibration(self) -> Path:
        return self.path / "calibrate" / "calibration.json"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def export_facts(self) -> Path:
        return self.path / "export" / "facts.json"

    @property
    def oof_scored(self) -> Path:
        """The table that the gate reads of the rows before the hold-out, scored by models that had not seen them."""
        return self.path / "evaluate" / "out_of_fold.parquet"

    @property
    def holdout_scored(self) -> Path:
        """The table that the gate reads of the outer hold-out, scored by the bundle's own graph."""
        return self.path / "evaluate" / "hold_out.parquet"

    @property
    def verdicts(self) -> Path:
        return self.path / "gate" / "summary.json"

    def judged_before(self) -> int:
        """How many other runs beside this one the gate has judged on a hold-out that overlaps this one's: each was one
        more trial on the same data. A run that does not say what it was judged on counts."""
        own = _held_out(self)
        others = (RunFolder(found.parents[1]) for found in self.path.parent.glob("*/gate/summary.json"))
        return sum(1 for other in others if other.path != self.path and _overlap(own, _held_out(other)))

    @property
    def circumstances(self) -> Path:
        """What the gate found outside the run's own files when it judged: trials, champion, times."""
        return self.path / "gate" / "circumstances.json"

    @property
    def plots(self) -> Path:
        return self.path / "gate" / "report.png"

    @property
    def request(self) -> Path:
        """What this run was asked for: its source and all settings."""
        return self.path / "request.json"

    @property
    def registration(self) -> Path:
        return self.path / "register" / "registration.json"


def _held_out(run: RunFolder) -> tuple[int, int] | None:
    """[from, to) of event time of the outer hold-out; None where the run does not say."""
    try:
        facts = json.loads(run.train_facts.read_text())
        return int(facts["holdout_from_ns"]), int(facts["holdout_to_ns"])
    except (OSError, ValueError, KeyError):
        return None


def _overlap(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def write_whole(path: Path, data: bytes) -> None:
    """The file appears with all of its bytes or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, lambda file: file.write(data))


def read_facts(path: Path, step: str) -> dict[str, Any]:
    """Facts that `step` left. Raises RunError that names the step to run first."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise RunError(f"{path.parent.name}/{path.name} is missing: run the step {step!r} first") from error
    except ValueError as error:
        raise RunError(f"{path}: no JSON: {error}") from error
