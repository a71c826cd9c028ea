"""A judged bundle in a real MLflow: plain files, one version for each digest, and only the alias it may have."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from libs.bundle.folder import read_bundle
from libs.bundle.manifest import MODEL_NAME
from pipelines.retrain.adapters.mlflow_registry import Registry
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.local import STEPS, LocalRun, Places
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.steps.register import register
from tests.builders.candidates import Market
from tests.builders.snapshots import a_request, a_snapshot, small_settings


def a_run(path: Path, mlflow: str, seed: int, market: Market | None = None) -> LocalRun:
    console = Console(file=StringIO())
    progress, places = StepProgress(console, time.monotonic), Places(mlflow, None, path / "keys")
    local = LocalRun(
        RunFolder(path / "runs" / "a"), a_request(small_settings(seed)), places, progress, console, time.time_ns
    )
    a_snapshot(local.folder, market)
    for step in list(STEPS)[1:]:
        local.run(step)
    return local


def test_a_model_that_passed_becomes_champion_and_its_files_come_back_whole(mlflow_server: str, tmp_path: Path) -> None:
    local = a_run(tmp_path, mlflow_server, seed=1)
    client = MlflowClient(mlflow_server)
    version = client.get_model_version_by_alias(MODEL_NAME, "champion")
    assert version.version == str(local.summary()["version"])
    assert version.tags["bundle_digest"] == local.summary()["digest"]
    assert (version.tags["provenance"], version.tags["evidence_scope"]) == ("SIMULATED", "SIMULATED")
    assert version.run_id is not None
    back = Path(client.download_artifacts(version.run_id, "bundle", str(tmp_path)))
    assert read_bundle(back).digest == local.summary()["digest"]
    assert {f.path for f in client.list_artifacts(version.run_id)} == {"bundle", "report", "plots"}


def test_registering_twice_makes_no_second_version(mlflow_server: str, tmp_path: Path) -> None:
    local = a_run(tmp_path, mlflow_server, seed=2)
    registry = Registry(mlflow_server, MODEL_NAME)
    again = register(local.folder, registry)
    assert again["version"] == local.summary()["version"]
    assert again["new"] is False
    assert registry.champion() == again["version"]


def test_a_refused_model_is_challenger_and_leaves_the_champion(mlflow_server: str, tmp_path: Path) -> None:
    a_run(tmp_path / "good", mlflow_server, seed=3)
    registry = Registry(mlflow_server, MODEL_NAME)
    champion = registry.champion()
    refused = a_run(tmp_path / "idle", mlflow_server, seed=3, market=Market(edge=0.0))
    assert refused.summary()["alias"] == "challenger"
    assert registry.champion() == champion
    version = MlflowClient(mlflow_server).get_model_version_by_alias(MODEL_NAME, "challenger")
    assert version.version == str(refused.summary()["version"])
    assert version.tags["reasons"] != "none"


def test_without_integrity_a_version_has_its_report_and_no_alias(mlflow_server: str, tmp_path: Path) -> None:
    local = a_run(tmp_path, mlflow_server, seed=4)
    exported = read_facts(local.folder.export_facts, "export")
    write_facts(local.folder.export_facts, {"parity": exported["parity"] | {"flips": 3}})
    for step in ("export", "evaluate"):
        local.run(step)
    write_facts(local.folder.export_facts, {"parity": exported["parity"] | {"flips": 3}})
    local.run("gate")
    MlflowClient(mlflow_server).delete_model_version(MODEL_NAME, str(local.summary()["version"]))
    champion = Registry(mlflow_server, MODEL_NAME).champion()
    local.run("register")
    summary = local.summary()
    assert summary["integrity"] is False
    assert summary["alias"] is None
    version = MlflowClient(mlflow_server).get_model_version(MODEL_NAME, str(summary["version"]))
    assert version.aliases == []
    assert version.tags["integrity"] == "refused"
    assert Registry(mlflow_server, MODEL_NAME).champion() == champion


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"MLflow at http://127\.0\.0\.1:9: "):
        Registry("http://127.0.0.1:9", MODEL_NAME).champion()
