"""A step is done once for the same inputs, fits made apart join to the same model, and each key signs its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from libs.bundle.folder import read_bundle
from libs.bundle.keys import trusted_keys
from libs.bundle.verdict import verify_evidence, verify_integrity
from pipelines.retrain.adapters.key_folder import make_keys
from pipelines.retrain.adapters.run_folder import RunError
from pipelines.retrain.local import LocalRun
from tests.builders.runs import JUDGED, a_run
from tests.builders.snapshots import a_snapshot


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    """Every step in one process, as `all` runs them."""
    local = a_run(tmp_path_factory.mktemp("whole"))
    a_snapshot(local.folder)
    for step in JUDGED:
        local.run(step)
    return local


def copied(whole: LocalRun, path: Path) -> LocalRun:
    local = a_run(path)
    shutil.copytree(whole.folder.path, local.folder.path)
    shutil.copytree(whole.places.keys, local.places.keys)
    return local


def touched(local: LocalRun, step: str) -> bool:
    """Whether running the step again wrote anything."""
    before = {path: path.stat().st_mtime_ns for path in local.folder.path.rglob("*") if path.is_file()}
    local.run(step)
    after = {path: path.stat().st_mtime_ns for path in local.folder.path.rglob("*") if path.is_file()}
    return before != after


def test_fits_in_pods_of_their_own_join_to_the_same_bundle(whole: LocalRun, tmp_path: Path) -> None:
    apart = a_run(tmp_path)
    a_snapshot(apart.folder)
    apart.run("dataset")
    assert len(apart.fits) == 16
    for fit in apart.fits[:10]:  # the join makes the rest
        replace(apart, member=fit["member"], fold=fit["fold"]).run("fit")
    for step in ("train", "calibrate", "export", "evaluate", "integrity", "evidence"):
        apart.run(step)
    assert apart.summary()["digest"] == whole.summary()["digest"]
    graphs = [(run.folder.bundle / "ensemble.onnx").read_bytes() for run in (apart, whole)]
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize("step", JUDGED)
def test_a_finished_step_ends_at_once(whole: LocalRun, tmp_path: Path, step: str) -> None:
    local = copied(whole, tmp_path)
    assert not touched(local, step)
    assert touched(replace(local, again=True), step)


def test_a_damaged_result_is_made_again(whole: LocalRun, tmp_path: Path) -> None:
    local = copied(whole, tmp_path)
    good = local.folder.calibration.read_bytes()
    local.folder.calibration.write_bytes(good[: len(good) // 2])
    local.run("calibrate")
    assert local.folder.calibration.read_bytes() == good


def test_other_settings_make_a_step_again(whole: LocalRun, tmp_path: Path) -> None:
    local = copied(whole, tmp_path)
    other = local.request.model_copy(update={"settings": local.request.settings.model_copy(update={"seed": 43})})
    assert touched(replace(local, request=other), "train")


def test_a_step_that_was_killed_is_not_finished(
    whole: LocalRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = copied(whole, tmp_path)
    monkeypatch.setattr("pipelines.retrain.local.calibrate", lambda *rest: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        replace(local, again=True).run("calibrate")
    monkeypatch.undo()
    assert touched(local, "calibrate")


def test_a_fit_that_is_kept_is_not_made_again(whole: LocalRun, tmp_path: Path) -> None:
    local = replace(copied(whole, tmp_path), member="lightgbm", fold="2")
    assert not touched(local, "fit")
    local.folder.fit("lightgbm", "2").write_bytes(b"half")
    assert touched(local, "fit")


@pytest.mark.parametrize(
    ("member", "fold", "message"),
    [
        ("lightgbn", "2", "unknown member 'lightgbn'; members: lightgbm, xgboost, catboost, random_forest"),
        ("lightgbm", "9", "unknown fold '9'; folds: 1, 2, 3, final"),
    ],
)
def test_an_unknown_fit_names_those_there_are(whole: LocalRun, member: str, fold: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        replace(whole, member=member, fold=fold).run("fit")


def alone(local: LocalRun, key: str) -> LocalRun:
    """The same run where only one private key is mounted and none may be made."""
    folder = local.folder.path.parent / f"only-{key}"
    folder.mkdir()
    shutil.copy(local.places.keys / f"{key}.private.pem", folder)
    return replace(local, places=replace(local.places, keys=folder, make_keys=False), again=True)


def test_each_verdict_is_signed_where_only_its_key_is(whole: LocalRun, tmp_path: Path) -> None:
    local = copied(whole, tmp_path)
    shutil.rmtree(local.folder.bundle / "verdicts")
    alone(local, "training").run("integrity")
    with pytest.raises(RunError, match=r"the gate key: .*No such file.*a release mounts them from its secrets"):
        replace(local, places=replace(local.places, keys=tmp_path / "only", make_keys=False)).run("evidence")
    alone(local, "gate").run("evidence")
    training, gate = (trusted_keys([file]) for file in make_keys(whole.places.keys))
    bundle = read_bundle(local.folder.bundle)
    assert bundle.integrity is not None
    assert bundle.evidence is not None
    integrity, evidence = verify_integrity(bundle.integrity, training), verify_evidence(bundle.evidence, gate)
    assert integrity.report_digest == evidence.report_digest == bundle.report_digest


def test_the_gate_signs_no_report_but_its_own(whole: LocalRun, tmp_path: Path) -> None:
    local = copied(whole, tmp_path)
    report = local.folder.bundle / "report.json"
    report.write_bytes(report.read_bytes().replace(b"SIMULATED", b"simulated", 1))
    with pytest.raises(RunError, match=r"report\.json is not what the gate works out"):
        alone(local, "gate").run("evidence")


def test_evidence_needs_integrity_first(whole: LocalRun, tmp_path: Path) -> None:
    local = copied(whole, tmp_path)
    shutil.rmtree(local.folder.bundle / "verdicts")
    with pytest.raises(RunError, match="run the step 'integrity' first"):
        replace(local, again=True).run("evidence")
