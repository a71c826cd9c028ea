"""What the cases ended with: the table printed last, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

Outcome = Literal["passed", "FAILED", "left out", "not tried"]
COLOURS: dict[str, str] = {"passed": "green", "FAILED": "bold red", "left out": "yellow", "not tried": "yellow"}


@dataclass(frozen=True, slots=True)
class Result:
    """One row: what the case saw with its numbers, or why it failed or was left out."""

    case: str
    outcome: Outcome
    seconds: float
    seen: tuple[str, ...]


def exit_code(results: Sequence[Result]) -> int:
    """0 only when every case that could be tried passed, and at least one was tried."""
    tried = [one for one in results if one.outcome != "left out"]
    return 0 if tried and all(one.outcome == "passed" for one in tried) else 1


def show(results: Sequence[Result], console: Console) -> None:
    table = Table("case", "result", "seconds", "what was seen", show_lines=True)
    for one in results:
        outcome = f"[{COLOURS[one.outcome]}]{one.outcome}[/]"
        table.add_row(one.case, outcome, f"{one.seconds:.0f}", "\n".join(one.seen).replace("[", "\\["))
    console.print(table)
    whole = sum(one.seconds for one in results)
    passed = sum(one.outcome == "passed" for one in results)
    console.print(f"{passed} of {len(results)} cases passed in {whole / 60:.1f} minutes", highlight=False)


def as_json(results: Sequence[Result]) -> str:
    return json.dumps({"passed": exit_code(results) == 0, "cases": [asdict(one) for one in results]}, indent=1)
