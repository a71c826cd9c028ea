"""The end of a retraining is told as it was: registered, refused with reasons, or broken with the first cause first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.retrain.__main__ import app
from pipelines.retrain.adapters.notifications import TRIES, notify
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, write_facts
from pipelines.retrain.steps.announce import Ending, ending

NAME = "retrain-BTCUSDT-20251121T120000Z-60m-1a2b3c4d"
FAILURES: list[dict[str, str]] = [
    {"displayName": "w-1", "phase": "Failed", "finishedAt": "2025-11-21T12:06:00Z"},
    {
        "displayName": "data",
        "message": "No more retries left",
        "finishedAt": "2025-11-21T12:04:01Z",
    },
    {"displayName": "fit(3)", "message": "main: Error (exit code 1)", "finishedAt": "2025-11-21T12:05:00Z"},
    {"displayName": "data(0)", "message": "OOMKilled (exit code 137)", "finishedAt": "2025-11-21T12:04:00Z"},
]


def a_registered_run(path: Path, evidence: str = "SIMULATED", reasons: tuple[str, ...] = ()) -> RunFolder:
    run = RunFolder(path / "runs" / NAME)
    write_facts(run.verdicts, {"integrity": True, "evidence": evidence, "reasons": list(reasons)})
    write_facts(run.registration, {"version": 4, "alias": "champion" if not reasons else "challenger"})
    return run


def test_a_registered_version_is_named_with_its_alias(tmp_path: Path) -> None:
    found = ending(a_registered_run(tmp_path), "w-1", "Succeeded", "")
    assert found == Ending("registered", NAME, "4", "champion", "")
    assert found.tags("2025-11-21T12:09:00Z")["last_retrain_status"] == "registered"


def test_a_refusal_carries_the_gates_reasons(tmp_path: Path) -> None:
    found = ending(a_registered_run(tmp_path, "NONE", ("beats_naive: -3, asked above 0",)), "w-1", "Succeeded", "[]")
    assert (found.outcome, found.alias, found.reasons) == ("refused", "challenger", "beats_naive: -3, asked above 0")
    assert "reasons: beats_naive" in found.body("now")


@pytest.mark.parametrize("quoted", [json.dumps(FAILURES), json.dumps(json.dumps(FAILURES))])
def test_a_broken_workflow_names_its_first_failure_first(tmp_path: Path, quoted: str) -> None:
    found = ending(None, "w-1", "Failed", quoted)
    assert (found.outcome, found.run, found.version) == ("failed", "w-1", "none")
    assert found.reasons == "data(0): OOMKilled (exit code 137); fit(3): main: Error (exit code 1)"


@pytest.mark.parametrize("failures", ["", "[]", "null", "{{workflow.failures}}", '""', '"no list"'])
def test_a_failure_without_a_list_is_still_told(failures: str) -> None:
    assert ending(None, "w-1", "Error", failures).reasons == "the workflow ended Error"


def test_success_without_a_run_is_no_success() -> None:
    with pytest.raises(RunError, match="w-1 succeeded, but no run of it is kept"):
        ending(None, "w-1", "Succeeded", "")


def test_the_step_finds_the_run_of_its_workflow_and_prints_what_it_tells(tmp_path: Path) -> None:
    a_registered_run(tmp_path)
    write_facts(RunFolder(tmp_path / "workflows" / "w-1").request, {"run": NAME})
    told = ["announce", "--workflow=w-1", "--status=Succeeded", "--failures=[]", f"--state={tmp_path}"]
    result = CliRunner().invoke(app, [*told, f"--notify={tmp_path / 'urls'}"])
    assert result.exit_code == 0, result.stderr
    tags = json.loads(result.stdout.splitlines()[-1])
    assert (tags["last_retrain_run"], tags["last_retrain_notified"]) == (NAME, "no one asked to be told")


def test_addresses_that_are_none_and_those_that_refuse_are_counted_and_never_shown(tmp_path: Path) -> None:
    file, pauses = tmp_path / "urls", list[float]()
    file.write_text("# people\nnothing-like-it://\njson://user:secret@127.0.0.1:9/none\n")
    told = notify(file, "title", "body", pauses.append)
    assert told == f"told 0 of 2, 1 are no apprise addresses, 1 did not take it after {TRIES} tries"
    assert pauses == [2.0, 4.0, 8.0]
    assert "secret" not in told
