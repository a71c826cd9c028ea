"""`python -m pipelines.retrain` answers what is misspelt with what was meant."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.retrain.__main__ import app
from pipelines.retrain.adapters.run_folder import RunFolder
from pipelines.retrain.command import exits
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


def test_a_lost_public_half_comes_back_from_its_private_key(tmp_path: Path) -> None:
    call("keys", "--keys", str(tmp_path))
    public = tmp_path / "gate.public.pem"
    before = public.read_bytes()
    public.unlink()
    assert call("keys", "--keys", str(tmp_path)).exit_code == 0
    assert public.read_bytes() == before


@pytest.mark.parametrize("seed", ["inf", "nan", "1.5"])
def test_a_seed_that_is_no_whole_number_is_refused(seed: str) -> None:
    result = call("--seed", seed)
    assert result.exit_code == 2
    assert f"'{seed}' is no whole number" in result.stderr


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "an hour", "--archive", "{there}"], "--window 'an hour': expected a number and m, h, d or w"),
        (["--window", "60m", "--until", "noon", "--archive", "{there}"], "--until 'noon': expected 'now' or a time"),
        (["--window", "60m"], "need --archive"),
        (["--window", "60m", "--archive", "{there}", "--session", "s"], "leave out --session, --from and --to"),
        (["--archive", "s4://bucket"], "is no place for an archive"),
        (["--window", "60m", "--archive", "x", "--provenance", "LIFE"], "Did you mean 'LIVE'?"),
        (["--when-no-champion"], "name it with --mlflow"),
        (["fit", "--run", "a"], "name it with --member lightgbm --fold 2"),
        (["train", "all"], "the step 'all' stands alone"),
        (["announce"], "name it with --status"),
    ],
)
def test_what_cannot_be_meant_is_explained_and_a_person_must_act(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    there = tmp_path / "archive"
    there.mkdir()
    result = call(*[a.format(there=there) for a in arguments], "--state", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "60m", "--archive", "{there}"], "no market events are archived after 0 s of waiting"),
        (["--when-no-champion", "--mlflow", "http://127.0.0.1:9"], "MLflow at http://127.0.0.1:9"),
    ],
)
def test_what_is_away_is_waited_for_and_then_ends_with_75(tmp_path: Path, arguments: list[str], message: str) -> None:
    there = tmp_path / "archive"
    there.mkdir()
    result = call(*[a.format(there=there) for a in arguments], "--state", str(tmp_path), "--patience-s=0")
    assert result.exit_code == 75, result.output
    assert message in result.stderr


def test_keys_that_were_named_are_never_made_silently(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    a_snapshot(folder)
    folder.request.write_text(a_request().model_dump_json())
    result = call("integrity", "--run", "a", "--state", str(tmp_path), "--keys", str(tmp_path / "none"))
    assert result.exit_code == 75
    assert "the training key: " in result.stderr
    assert "a release mounts them from its secrets" in result.stderr
    assert not (tmp_path / "none").exists()


def test_a_disk_without_room_names_itself_and_the_remedy() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/runs/x")
    assert exits.message(full) == (
        "/runs/x: No space left on device; make room there: old runs below <state>/runs can be deleted"
    )
    assert exits.exit_code(full) == 1


def test_a_pods_last_words_are_its_error(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    exits.last_words("nowhere to say it", place)
    assert not place.exists()
    place.touch()
    exits.last_words("x" * 5000, place)
    assert len(place.read_text()) == 3000
