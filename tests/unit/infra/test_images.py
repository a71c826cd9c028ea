"""Building images: what docker is told, what a failure says, and nothing of the user's index in a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import images
from infra.images import Choice, Image, ImagesProblem, build_argv, chosen_images, main, pip_settings

ARCHIVE = Image("archive", "services/Dockerfile", ("SERVICE=archive",))

# A docker that answers as the real one; FAKE_FAILS makes a build end with a line of that text.
FAKE = """#!/bin/sh
echo "$@" >> "$FAKE_LOG"
case "$1" in
  version) [ -z "$FAKE_AWAY" ] && echo 28.0 || { echo "Cannot connect to the Docker daemon" >&2; exit 1; } ;;
  buildx) exit 1 ;;
  build) echo "Step 1/9 : ARG BASE"; [ -z "$FAKE_FAILS" ] || { echo "$FAKE_FAILS"; exit 1; } ;;
  image) echo 123456789 ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a docker that is first on the path."""
    program = tmp_path / "docker"
    program.write_text(FAKE)
    program.chmod(0o755)
    log = tmp_path / "log"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_LOG", str(log))
    for name in ("FAKE_AWAY", "FAKE_FAILS", "DOCKER_BUILDKIT"):
        monkeypatch.delenv(name, raising=False)
    return log


def test_there_is_an_image_of_every_service_of_the_pipelines_and_of_the_registry() -> None:
    names = [image.name for image in images.all_images()]
    assert names == [
        *("archive", "data-ingestion", "exchange-simulator", "feature-store", "model-serving", "order-routing"),
        *("pipelines", "mlflow"),
    ]


def test_some_are_chosen_by_name_however_it_is_spelt() -> None:
    assert [image.name for image in chosen_images("order_routing, mlflow")] == ["order-routing", "mlflow"]
    with pytest.raises(ImagesProblem, match="no image is named order-router; there are archive, "):
        chosen_images("order-router")


def test_docker_is_told_service_tag_and_base() -> None:
    choice = Choice("1.2", registry="example.org/us/", base="python:x", options=("--network", "host"))
    argv = build_argv(ARCHIVE, choice, {"DOCKER_BUILDKIT": "0"})
    told = [argv[at + 1] for at, word in enumerate(argv) if word == "--build-arg"]
    assert told == ["SERVICE=archive", "VERSION=1.2", "BASE=python:x"]
    assert argv[:4] == ["docker", "build", "--network", "host"]
    assert argv[argv.index("--tag") + 1] == "example.org/us/trading-platform/archive:1.2"


def test_an_index_with_a_password_is_in_no_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://me:hunter2@example.org/simple\ntimeout = 7\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    settings = pip_settings()
    assert settings["PIP_INDEX_URL"] == "https://me:hunter2@example.org/simple"
    assert settings["PIP_DEFAULT_TIMEOUT"] == "7"
    argv = build_argv(ARCHIVE, Choice("1"), settings)
    assert "PIP_INDEX_URL" in argv
    assert not any("hunter2" in word for word in argv)


def test_a_build_is_listed_with_size_and_loaded(
    docker: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    loaded = tmp_path / "loaded"
    assert main(["--only", "archive,mlflow", "--tag", "9", "--load", f"sh -c 'echo {{image}} >> {loaded}'"]) == 0
    said = capsys.readouterr().out
    assert "[2/2] trading-platform/mlflow:9" in said
    assert "123 MB" in said
    assert loaded.read_text().split() == ["trading-platform/archive:9", "trading-platform/mlflow:9"]
    assert "--file services/Dockerfile --tag trading-platform/archive:9 ." in docker.read_text()


@pytest.mark.parametrize(
    ("line", "helps"),
    [
        ("pip: CERTIFICATE_VERIFY_FAILED", "BASE="),
        ("Temporary failure in name resolution", "--network host"),
        ("write: No space left on device", "docker system df"),
        ("error: no such thing", ""),
    ],
)
def test_a_failed_build_names_the_image_its_last_lines_and_what_helps(
    line: str, helps: str, docker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", line)
    assert main(["--only", "archive,mlflow"]) == 1
    said = capsys.readouterr()
    assert "trading-platform/archive:" in said.err
    assert "was not built; the last lines:" in said.err
    assert line in said.err
    assert helps in said.err
    assert "mlflow" not in said.out + said.err


def test_a_failed_load_says_which_command_and_what_it_said(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "archive", "--tag", "9", "--load", "sh -c 'echo no room; false' {image}"]) == 1
    said = capsys.readouterr().err
    assert "trading-platform/archive:9 is built but was not loaded" in said
    assert "no room" in said
    assert main(["--only", "archive", "--load", "no-such-program {image}"]) == 1
    assert "cannot be run: No such file or directory: no-such-program" in capsys.readouterr().err


def test_without_docker_or_without_its_daemon_one_line_says_so(
    docker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_AWAY", "1")
    assert main([]) == 1
    assert capsys.readouterr().err == ("docker is installed but does not answer: Cannot connect to the Docker daemon\n")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert main([]) == 1
    assert capsys.readouterr().err == "docker is missing: sudo apt-get install docker.io\n"


def test_the_classic_builder_is_taken_where_buildkit_is_not_installed(docker: Path) -> None:
    assert images.build_env()["DOCKER_BUILDKIT"] == "0"
