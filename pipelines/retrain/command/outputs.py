"""What a workflow shows of a run: one small file for each value, which Argo reads as an output parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("run", "fits", "verdict", "version", "alias", "reasons")


def write_outputs(folder: Path, run: str, fits: list[dict[str, str]], summary: Mapping[str, Any]) -> None:
    """All of `NAMES`; what is not known yet is "none"."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons = summary.get("reasons")
    verdict = "none"
    if "evidence" in summary:
        refused = summary["evidence"] == "NONE" or not summary["integrity"]
        verdict = "refused" if refused else f"accepted, evidence {summary['evidence']}"
    told = {
        "run": run,
        "fits": json.dumps(fits),
        "verdict": verdict,
        "version": str(summary.get("version", "none")),
        "alias": str(summary.get("alias") or "none"),
        "reasons": "; ".join(reasons) if reasons else "none",
    }
    for name in NAMES:
        (folder / name).write_text(told[name])
