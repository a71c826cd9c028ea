"""The steps together, from frozen vectors of a planted market to verdicts, as files that can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from libs.bundle.acceptance import Accepted, Trust, judge
from libs.bundle.folder import read_bundle
from libs.bundle.keys import trusted_keys
from libs.bundle.trust import Scope
from libs.trading.folds import TooFewRows
from libs.trading.labels import LabelRefused
from pipelines.retrain.adapters.key_folder import make_keys
from pipelines.retrain.adapters.mlflow_registry import Entry, Registered
from pipelines.retrain.adapters.run_folder import RunError, read_facts
from pipelines.retrain.adapters.tables import read_columns, write_columns
from pipelines.retrain.local import LocalRun
from pipelines.retrain.settings import LabelSettings, RetrainSettings
from pipelines.retrain.steps.dataset import FEATURE
from pipelines.retrain.steps.register import allowed_alias, register
from tests.builders.candidates import Market
from tests.builders.runs import JUDGED, a_run
from tests.builders.snapshots import KNOWING, a_request, a_snapshot, small_settings


@dataclass
class RememberingRegistry:
    """A registry in memory with MLflow's behaviour: one version for each digest."""

    versions: list[str] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)

    def register(self, entry: Entry) -> Registered:
        new = entry.digest not in self.versions
        if new:
            self.versions.append(entry.digest)
        version = self.versions.index(entry.digest) + 1
        return Registered(version, new, entry.digest, version in self.settled, "champion")

    def set_alias(self, alias: str, version: int) -> None:
        self.aliases[alias] = version


def made(path: Path, market: Market | None = None, settings: RetrainSettings | None = None) -> LocalRun:
    local = a_run(path, settings)
    a_snapshot(local.folder, market)
    for step in JUDGED:
        local.run(step)
    return local


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    return made(tmp_path_factory.mktemp("honest"))


def test_an_honest_edge_passes_the_demo_policy_and_serving_would_accept_it(honest: LocalRun) -> None:
    assert honest.summary()["reasons"] == []
    assert honest.summary()["evidence"] == "SIMULATED"
    training, gate = (trusted_keys([file]) for file in make_keys(honest.places.keys))
    trust = Trust(training, gate, Scope.SIMULATED)
    accepted = judge(read_bundle(honest.folder.bundle), alias="champion", trust=trust, view_problem=None)
    assert isinstance(accepted, Accepted)


def test_retraining_twice_gives_the_same_digest(honest: LocalRun, tmp_path: Path) -> None:
    again = made(tmp_path)
    assert again.summary()["digest"] == honest.summary()["digest"]
    assert (again.folder.bundle / "ensemble.onnx").read_bytes() == (honest.folder.bundle / "ensemble.onnx").read_bytes()


def test_another_seed_is_another_model(honest: LocalRun, tmp_path: Path) -> None:
    other = made(tmp_path, settings=small_settings(seed=43))
    assert other.summary()["digest"] != honest.summary()["digest"]


def test_without_a_signal_the_gate_refuses_and_the_run_succeeds(tmp_path: Path) -> None:
    local = made(tmp_path, Market(edge=0.0))
    assert local.summary()["evidence"] == "NONE"
    assert local.summary()["integrity"] is True
    assert local.summary()["reasons"]


def test_the_hold_out_cannot_change_anything_that_was_fitted(honest: LocalRun, tmp_path: Path) -> None:
    """Other features and prices after the cut leave members, calibration and weights as they were."""
    local = a_run(tmp_path)
    a_snapshot(local.folder)
    begin = read_facts(honest.folder.train_facts, "train")["holdout_from_ns"]
    columns = read_columns(local.folder.snapshot_table, "snapshot")
    later = columns["as_of"] >= begin
    columns[FEATURE + KNOWING] = np.where(later, -columns[FEATURE + KNOWING], columns[FEATURE + KNOWING])
    for name in ("bid", "ask"):
        columns[name] = np.where(later, columns[name][::-1], columns[name])
    columns["ask"] = np.maximum(columns["ask"], columns["bid"])
    write_columns(local.folder.snapshot_table, columns)
    for step in ("dataset", "train", "calibrate"):
        local.run(step)
    for file in ("lightgbm.txt", "xgboost.json", "catboost.json", "random_forest.json"):
        assert local.folder.member(file).read_bytes() == honest.folder.member(file).read_bytes(), file
    assert local.folder.calibration.read_bytes() == honest.folder.calibration.read_bytes()


def test_every_split_is_purged_by_the_labels_end(honest: LocalRun) -> None:
    splits = read_facts(honest.folder.train_facts, "train")["splits"]
    assert len(splits) == 4
    for split in splits:
        assert split["last_label_end"] + 10**9 < split["first_test_as_of"]


def test_the_judged_rows_are_those_of_the_bundles_window_with_every_kept_member(honest: LocalRun) -> None:
    rows = read_columns(honest.folder.holdout_scored, "evaluate")
    manifest = read_bundle(honest.folder.bundle).manifest
    assert manifest.evaluation is not None
    assert rows["as_of"].min() >= manifest.evaluation.from_ns
    assert rows["as_of"].max() < manifest.evaluation.to_ns
    for member in manifest.members:
        total = sum(rows[f"{member.name}_p_{name}"] for name in ("down", "flat", "up"))
        assert np.allclose(total, 1.0)


def test_vectors_that_are_not_ready_are_never_learnt(tmp_path: Path) -> None:
    local = a_run(tmp_path)
    a_snapshot(local.folder)
    columns = {name: c.copy() for name, c in read_columns(local.folder.snapshot_table, "snapshot").items()}
    columns["ready"][:500] = False
    columns[FEATURE + KNOWING][700] = np.nan
    write_columns(local.folder.snapshot_table, columns)
    local.run("dataset")
    kept = read_columns(local.folder.dataset_table, "dataset")["as_of"]
    assert kept.min() == columns["as_of"][500]
    assert columns["as_of"][700] not in kept


def test_a_step_whose_files_are_missing_names_the_step_before(tmp_path: Path) -> None:
    for step, before in zip(JUDGED, ("snapshot", "dataset", "train", "train", "calibrate", "snapshot"), strict=True):
        with pytest.raises(RunError, match=f"run the step '{before}' first"):
            a_run(tmp_path).run(step)


def test_a_label_that_no_row_reaches_is_refused_with_the_counts(tmp_path: Path) -> None:
    settings = small_settings(label=LabelSettings(threshold_sigmas=4.0))
    local = a_run(tmp_path, settings)
    a_snapshot(local.folder)
    local.run("dataset")
    with pytest.raises(LabelRefused, match=r"under 5% of \d+ rows: down \d+, flat \d+, up \d+"):
        local.run("train")


def test_a_window_too_short_for_its_labels_or_folds_says_what_to_do(tmp_path: Path) -> None:
    remedy = r"learn from more data \(a longer --window"
    local = a_run(tmp_path)
    a_snapshot(local.folder)
    columns = read_columns(local.folder.snapshot_table, "snapshot")

    def keep(rows: int) -> None:
        write_columns(local.folder.snapshot_table, {name: values[:rows] for name, values in columns.items()})

    keep(4)
    with pytest.raises(RunError, match=f"no row can be learnt: 4 vectors.*{remedy}"):
        local.run("dataset")
    keep(400)
    local.run("dataset")
    with pytest.raises(TooFewRows, match=f"rows to .*, at least 200 are needed; {remedy}"):
        local.run("train")
    flat = replace(local, request=a_request(small_settings(label=LabelSettings(threshold_sigmas=9.0))))
    keep(len(columns["as_of"]))
    flat.run("dataset")
    with pytest.raises(LabelRefused, match=f"^fold 1: a traded class.*; {remedy}.*another --horizon or --sigmas$"):
        flat.run("train")


def test_a_horizon_under_one_bar_is_refused(tmp_path: Path) -> None:
    local = a_run(tmp_path, small_settings(horizon_s=0.5))
    a_snapshot(local.folder)
    with pytest.raises(LabelRefused, match="shorter than one bar"):
        local.run("dataset")


@pytest.mark.parametrize(
    ("integrity", "evidence", "alias"),
    [
        (False, Scope.PAPER, None),
        (True, Scope.NONE, "challenger"),
        (True, Scope.SIMULATED, "champion"),
        (True, Scope.PAPER, "champion"),
        (True, Scope.LIVE, "challenger"),
    ],
)
def test_the_pipeline_moves_only_the_alias_it_may(integrity: bool, evidence: Scope, alias: str | None) -> None:
    assert allowed_alias(integrity, evidence) == alias


def test_registering_twice_is_registering_once(honest: LocalRun) -> None:
    registry = RememberingRegistry()
    first, second = (register(honest.folder, registry) for _ in range(2))
    assert first["version"] == second["version"] == 1
    assert (first["new"], second["new"]) == (True, False)
    assert registry.aliases == {"champion": 1}


def test_a_completed_registration_leaves_the_aliases_that_a_person_moved_since(honest: LocalRun) -> None:
    registry = RememberingRegistry()
    first = register(honest.folder, registry)
    registry.settled.add(first["version"])
    registry.aliases["champion"] = 7
    again = register(honest.folder, registry)
    assert (again["version"], again["alias"], again["settled"]) == (1, "champion", True)
    assert registry.aliases == {"champion": 7}
