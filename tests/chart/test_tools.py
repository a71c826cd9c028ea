"""A missing tool of the chart leaves its tests out with one line, and is a failure in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import prepare
from tests import run
from tests.chart import tools


@pytest.fixture
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prepare, "TOOLS", tmp_path)
    monkeypatch.setattr(tools, "VENV", tmp_path)
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.usefixtures("_bare_machine")
def test_a_missing_tool_is_named_with_its_remedy() -> None:
    assert set(tools.missing_tools()) == {"helm", "kubeconform"}
    with pytest.raises(pytest.skip.Exception, match=r"kubeconform is missing; install it with: go install \S+@v"):
        tools.needed("kubeconform")


@pytest.mark.usefixtures("_bare_machine")
def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="helm is missing; install it with: make setup"):
        tools.needed("helm")


@pytest.mark.usefixtures("_bare_machine")
def test_a_run_of_all_tests_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(pytest, "main", lambda words: 0)
    monkeypatch.setattr(run, "compile_kernels_once", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert run.main() == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith("left out: tests that need")
    assert "helm (of the chart; install it with: make setup)" in said
    assert "kubeconform (of the chart; install it with: go install" in said
    monkeypatch.setenv("CI", "true")
    assert run.main() == 1
    assert "with CI=true that is a failure" in capsys.readouterr().err


def test_a_machine_without_go_can_be_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prepare, "TOOLS", tmp_path)
    prepare.build_kubeconform()
    assert prepare.kubeconform() is None


def test_a_build_that_fails_stops_no_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(prepare, "TOOLS", tmp_path / "tools")
    prepare.build_kubeconform()
    assert "kubeconform could not be built" in capsys.readouterr().err
