"""A judged bundle in a real MLflow: plain files, one version for each digest, and only the alias it may have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from libs.bundle.folder import read_bundle
from libs.bundle.manifest import MODEL_NAME
from pipelines.retrain.adapters.mlflow_registry import Entry, Registry
from pipelines.retrain.adapters.run_folder import NotYet, RunError, read_facts, write_facts
from pipelines.retrain.local import LocalRun
from pipelines.retrain.steps.register import register
from tests.builders import runs
from tests.builders.candidates import Market
from tests.builders.snapshots import a_snapshot, small_settings


def a_run(path: Path, mlflow: str, seed: int, market: Market | None = None) -> LocalRun:
    """From frozen vectors to the registry."""
    here = runs.a_run(path, small_settings(seed))
    local = replace(here, places=replace(here.places, mlflow=mlflow))
    a_snapshot(local.folder, market)
    for step in (*runs.JUDGED, "register"):
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
    with pytest.raises(RunError, match=r"^MLflow at http://127\.0\.0\.1:9 does not answer \(NewConnectionError\)$"):
        Registry("http://127.0.0.1:9", MODEL_NAME).champion()


def test_the_same_window_is_one_version_even_where_the_archive_has_changed_since(
    mlflow_server: str, tmp_path: Path
) -> None:
    first = a_run(tmp_path / "first", mlflow_server, seed=11)
    registry = Registry(mlflow_server, MODEL_NAME)
    told = read_facts(first.folder.registration, "register")
    again = registry.register(Entry(tmp_path, "another digest", "a-window", window=True))
    once_more = registry.register(Entry(tmp_path, "a third digest", "a-window", window=True))
    assert (again.new, once_more.new) == (True, False)
    assert once_more.version == again.version != told["version"]
    assert once_more.digest == "another digest"


def test_two_that_register_the_same_at_the_same_time_keep_one(mlflow_server: str, tmp_path: Path) -> None:
    registries = [Registry(mlflow_server, MODEL_NAME) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        entry = Entry(tmp_path, "raced", "a-race", window=True)
        made = list(pool.map(lambda one: one.register(entry).version, registries))
    assert len(set(made)) == 1
    found = MlflowClient(mlflow_server).search_model_versions(f"name = '{MODEL_NAME}' and tag.bundle_digest = 'raced'")
    assert [int(version.version) for version in found] == made[:1]


def test_a_completed_registration_leaves_champion_where_a_person_put_it(mlflow_server: str, tmp_path: Path) -> None:
    local = a_run(tmp_path, mlflow_server, seed=12)
    registry, version = Registry(mlflow_server, MODEL_NAME), local.summary()["version"]
    other = registry.register(Entry(tmp_path, "older", "older"))
    registry.set_alias("champion", other.version)
    local.run("register")
    assert registry.champion() == other.version != version
    assert local.summary()["alias"] == "champion"


def test_tags_of_the_model_are_kept_also_before_its_first_version(mlflow_server: str) -> None:
    Registry(mlflow_server, "Unborn").tag_model({"last_retrain_status": "failed"})
    assert MlflowClient(mlflow_server).get_registered_model("Unborn").tags == {"last_retrain_status": "failed"}


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(NotYet, match=r"MLflow at http://127\.0\.0\.1:9"):
        Registry("http://127.0.0.1:9", MODEL_NAME).champion()
