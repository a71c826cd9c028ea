"""A run's folder: files appear whole, and other runs count as trials where they were judged on the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.retrain.adapters.run_folder import RunFolder, write_facts, write_whole


def a_judged_run(state: Path, name: str, held_out: tuple[int, int] | None) -> RunFolder:
    run = RunFolder(state / "runs" / name)
    write_facts(run.verdicts, {})
    if held_out is not None:
        write_facts(run.train_facts, {"holdout_from_ns": held_out[0], "holdout_to_ns": held_out[1]})
    return run


@pytest.mark.parametrize(
    ("other", "trials"), [((0, 10), 0), ((0, 11), 1), ((12, 13), 1), ((19, 40), 1), ((20, 40), 0), (None, 1)]
)
def test_a_run_judged_on_overlapping_data_is_a_trial(
    tmp_path: Path, other: tuple[int, int] | None, trials: int
) -> None:
    a_judged_run(tmp_path, "other", other)
    assert a_judged_run(tmp_path, "own", (10, 20)).judged_before() == trials


def test_a_run_that_was_never_judged_is_no_trial(tmp_path: Path) -> None:
    write_facts(RunFolder(tmp_path / "runs" / "other").train_facts, {"holdout_from_ns": 0, "holdout_to_ns": 99})
    assert a_judged_run(tmp_path, "own", (10, 20)).judged_before() == 0


def test_a_file_is_replaced_at_once_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]
