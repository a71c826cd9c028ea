"""A run's table has a row for every case, also for one that never ended."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from rich.console import Console

from tests.cluster.cases import BESIDE
from tests.cluster.run import Run
from tests.cluster.table import exit_code


def test_a_case_beside_the_others_that_does_not_end_has_failed(tmp_path: Path) -> None:
    run = Run("n", [], tmp_path, Console(file=io.StringIO()))
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    run.wait_for_beside(thread, 0.01)
    ended.set()
    thread.join()
    assert [(one.case, one.outcome) for one in run.results] == [(BESIDE, "FAILED")]
    assert exit_code(run.results) == 1


def test_a_case_that_ended_tells_its_result_itself(tmp_path: Path) -> None:
    run = Run("n", [], tmp_path, Console(file=io.StringIO()))
    thread = threading.Thread(target=lambda: None)
    thread.start()
    run.wait_for_beside(thread, 5.0)
    assert run.results == []
