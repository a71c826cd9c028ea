"""`python -m pipelines.retrain` answers what is misspelt with what was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.retrain.__main__ import app
from pipelines.retrain.adapters.run_folder import RunFolder
from tests.builders.snapshots import a_request, a_snapshot

CALL = CliRunner()


def call(*arguments: str) -> Result:
    return CALL.invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["snapshoot"], "unknown step 'snapshoot'. Did you mean 'snapshot'?"),
        (["--policy", "prodction"], "unknown policy 'prodction'. Did you mean 'production'?"),
        (["--horizon", "8 bars", "--archive", "x"], "horizon '8 bars': expected seconds (8 or 8s) or bars (24b)"),
        (["--scope", "PAPIER", "--archive", "x"], "'SIMULATED', 'PAPER' or 'LIVE'"),
        ([], "name a source: --data FOLDER of bars, or --archive FOLDER"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--archive", "nowhere"], "nowhere: no such archive folder"),
        (["--archive", "x", "--emission-ms", "-5"], "greater than 0"),
    ],
)
def test_wrong_input_is_explained_and_ends_with_one(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = call(*arguments, "--state", str(tmp_path))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_step_of_an_unknown_run_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "runs" / "monday").mkdir(parents=True)
    result = call("train", "--run", "mondai", "--state", str(tmp_path))
    assert result.exit_code == 1
    assert "no run 'mondai'" in result.stderr
    assert "Did you mean 'monday'?" in result.stderr


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    assert call("--polcy", "demo").exit_code == 2


def test_keys_are_made_once_and_the_public_halves_named(tmp_path: Path) -> None:
    first = json.loads(call("keys", "--keys", str(tmp_path)).stdout)
    before = (tmp_path / "training.private.pem").read_bytes()
    assert first["public"] == [str(tmp_path / "training.public.pem"), str(tmp_path / "gate.public.pem")]
    assert call("keys", "--keys", str(tmp_path)).exit_code == 0
    assert (tmp_path / "training.private.pem").read_bytes() == before
    assert (tmp_path / "gate.private.pem").stat().st_mode & 0o077 == 0


def test_steps_go_on_with_what_the_run_was_asked_for_and_a_refusal_ends_with_zero(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    a_snapshot(folder, provenance="RECORDED")
    folder.request.write_text(a_request().model_copy(update={"needed_scope": "LIVE"}).model_dump_json())
    assert call("keys", "--keys", str(tmp_path / "keys")).exit_code == 0
    for step in ("dataset", "train", "calibrate", "export", "evaluate", "gate"):
        result = call(step, "--run", "a", "--state", str(tmp_path), "--keys", str(tmp_path / "keys"), "--json")
        assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["evidence"] == "NONE"
    assert summary["integrity"] is True
    assert any(reason.startswith("provenance: ") for reason in summary["reasons"])
