"""Setting up: what is missing is named with its line, and nothing is done twice."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import prepare


def test_everything_needed_here_is_here() -> None:
    assert prepare.missing_prerequisites() == []


def test_missing_programs_come_with_the_line_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    missing = "\n".join(prepare.missing_prerequisites())
    for package in ("openjdk-17-jre-headless", "maven", "make"):
        assert f"sudo apt-get install {package}" in missing


def test_another_machine_or_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("sys.version_info", (3, 12, 0))
    missing = "\n".join(prepare.missing_prerequisites())
    assert "Linux on x86_64" in missing
    assert "sudo apt-get install python3.11 python3.11-venv" in missing


@pytest.mark.parametrize(
    ("said", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('openjdk version "21" 2023', 21), ('java version "1.8.0_392"', 8)],
)
def test_java_s_version_is_read(said: str, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stderr=said))
    assert prepare.java_version() == version


def test_an_action_runs_again_only_when_an_input_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "STAMPS", tmp_path / "stamps")
    lock, done = tmp_path / "lock.txt", []
    lock.write_text("a==1")
    for _ in range(2):
        prepare.once("environment", [lock], lambda: done.append("acted"), needs=None)
    assert len(done) == 1
    lock.write_text("a==2")
    prepare.once("environment", [lock], lambda: done.append("acted"), needs=None)
    assert len(done) == 2
    prepare.once("environment", [lock], lambda: done.append("acted"), needs=tmp_path / "lost")
    assert len(done) == 3


def test_an_action_that_failed_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "STAMPS", tmp_path / "stamps")
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1")

    def fail() -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        prepare.once("environment", [lock], fail, needs=None)
    done: list[str] = []
    prepare.once("environment", [lock], lambda: done.append("acted"), needs=None)
    assert done == ["acted"]


def test_pip_s_configuration_is_passed_on_in_uv_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"""global.index-url='https://mirror.example/simple'
:env:.cert='/etc/ssl/ca.pem'
global.find-links='{tmp_path / "lost"}'
global.timeout='60'
"""
    for name in prepare.PIP_TO_UV.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    assert prepare.uv_settings() == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/ca.pem",
    }
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple")
    assert "UV_DEFAULT_INDEX" not in prepare.uv_settings()
