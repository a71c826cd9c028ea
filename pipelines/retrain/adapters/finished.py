"""Remembers which step of a run is finished with which inputs, so that doing it again ends at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.wire.durable import TEMPORARY_SUFFIX
from pipelines.retrain.adapters.run_folder import RunFolder, write_facts


@dataclass(frozen=True, slots=True)
class Trace:
    """Files and folders below the run's that a step reads and writes."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


def inputs_of(run: RunFolder, trace: Trace, told: Any) -> str:
    """SHA-256 over what a step was told (JSON) and the bytes that it reads."""
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(f"{text}\n{content(run.path, trace.reads)}".encode()).hexdigest()


def is_finished(run: RunFolder, step: str, inputs: str, trace: Trace) -> bool:
    """Whether the step ended with these inputs and every byte that it left is still there."""
    try:
        kept = json.loads(run.finished(step).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return bool(kept == {"inputs": inputs, "result": content(run.path, trace.writes)})


def begin(run: RunFolder, step: str) -> None:
    """From now on the step is not finished."""
    run.finished(step).unlink(missing_ok=True)


def finish(run: RunFolder, step: str, inputs: str, trace: Trace) -> None:
    write_facts(run.finished(step), {"inputs": inputs, "result": content(run.path, trace.writes)})


def content(root: Path, names: Sequence[str]) -> str:
    """SHA-256 over paths and bytes of these files and folders; what is absent counts as absent."""
    total = hashlib.sha256()
    for name in names:
        top = root / name
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in files:
            if path.is_file() and not path.name.endswith(TEMPORARY_SUFFIX):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                total.update(f"{path.relative_to(root)} {digest}\n".encode())
    return total.hexdigest()
