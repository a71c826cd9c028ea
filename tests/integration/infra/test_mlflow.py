"""The local MLflow server: keeps what it was told, serves artifacts itself, says what a person has to change."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.daemon import free_port
from infra.mlflow.server import MlflowPlace, MlflowServer, answers, prepare
from infra.place import ServerProblem


def test_a_restarted_server_goes_on_with_its_versions_and_artifacts(tmp_path: Path) -> None:
    place = MlflowPlace(tmp_path / "server", free_port())
    server = MlflowServer(place)
    server.start()
    try:
        client = MlflowClient(server.address)
        run = client.create_run(client.create_experiment("made here"))
        client.log_text(run.info.run_id, "{}", "manifest.json")
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        client.create_registered_model("ProductionEnsemble")
        version = client.create_model_version("ProductionEnsemble", run.info.artifact_uri, run.info.run_id)
        client.set_registered_model_alias("ProductionEnsemble", "champion", version.version)
        server.stop()
        assert not answers(server.address)
        server.start()
        found = client.get_model_version_by_alias("ProductionEnsemble", "champion")
        assert found.version == version.version
        assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["manifest.json"]
        assert (place.folder / "artifacts").is_dir()
    finally:
        server.stop()


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("mlflow 2\n")
    with pytest.raises(ServerProblem, match="written by 'mlflow 2', this is 'mlflow 3'"):
        prepare(MlflowPlace(tmp_path, free_port()))


def test_a_stranger_s_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ServerProblem, match=r"holiday\.jpg"):
        prepare(MlflowPlace(tmp_path, free_port()))


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerProblem, match=f"port {port} .mlflow. is in use"):
            prepare(MlflowPlace(tmp_path / "server", port))
