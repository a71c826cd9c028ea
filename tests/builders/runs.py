"""A retraining in a folder of its own, on frozen vectors of a planted market."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path

from rich.console import Console

from pipelines.retrain.adapters.run_folder import RunFolder
from pipelines.retrain.local import STEPS, LocalRun, Places
from pipelines.retrain.report.progress import StepProgress
from pipelines.retrain.settings import RetrainSettings
from tests.builders.snapshots import a_request

JUDGED = tuple(STEPS)[1:-1]  # without snapshot and register


def a_run(path: Path, settings: RetrainSettings | None = None) -> LocalRun:
    console = Console(file=StringIO())
    progress = StepProgress(console, time.monotonic)
    places = Places(None, None, path / "keys")
    return LocalRun(RunFolder(path / "runs" / "a"), a_request(settings), places, progress, console, time.time_ns)
