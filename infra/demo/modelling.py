"""Makes the environment's model: runs the retraining as a user would, shows its progress, reads its verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.daemon import exit_text, log_tail, open_process, stop_process

TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class RetrainingFailed(Exception):
    """The retraining ended with an error, not with a verdict; the message holds the tail of its log."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said: the summary that the retraining prints last."""

    summary: Mapping[str, Any]

    @property
    def reasons(self) -> list[str]:
        return [str(reason) for reason in self.summary.get("reasons", [])]


class Retraining:
    """One run of `python -m pipelines.retrain` in the background."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], root: Path, log_folder: Path) -> None:
        self._out, self._log = log_folder / "retrain.out", log_folder / "retrain.log"
        log_folder.mkdir(parents=True, exist_ok=True)
        self._process = open_process(argv, env, self._log, out=self._out, root=root)

    def progress(self) -> str:
        """The newest line it wrote, without terminal codes."""
        for path in (self._log, self._out):
            if path.exists():
                text = TERMINAL_CODES.sub("", path.read_text(errors="replace")[-4000:])
                lines = [
                    line.strip() for line in re.split(r"[\r\n]", text) if line.strip() and not line.startswith("{")
                ]
                if lines:
                    return lines[-1]
        return "starting"

    def verdict(self) -> Verdict | None:
        """None while it runs. Raises `RetrainingFailed` when it ended without a verdict."""
        code = self._process.poll()
        if code is None:
            return None
        lines = [line for line in self._out.read_text(errors="replace").splitlines() if line.startswith("{")]
        if code != 0 or not lines:
            tail = log_tail(self._log) or log_tail(self._out)
            raise RetrainingFailed(f"the retraining ended with {exit_text(code)}:\n{tail}")
        try:
            return Verdict(json.loads(lines[-1]))
        except ValueError as error:
            raise RetrainingFailed(f"the retraining's last line is not its summary: {lines[-1][:200]}") from error

    def stop(self) -> None:
        stop_process(self._process, 5.0)
