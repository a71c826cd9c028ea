"""What a JSON value looks like: its keys, its types and how its texts are written."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DECIMAL = re.compile(r"-?\d+(\.\d+)?")


def look(value: Any) -> str:
    """A leaf's type; for text also how it is written."""
    if not isinstance(value, str):
        return type(value).__name__
    if value == "":
        return "empty"
    if UUID.fullmatch(value):
        return "uuid"
    return "decimal" if DECIMAL.fullmatch(value) else "text"


def paths(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """(path, look) of every leaf and (path, keys) of every object; a list's elements share one path."""
    if isinstance(value, dict):
        yield at, f"keys {sorted(value)}"
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    else:
        yield at, look(value)


def looks(values: Iterable[Any]) -> dict[str, set[str]]:
    """Every look that was seen at each path."""
    seen: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for path, found in paths(value):
            seen[path].add(found)
    return seen


def differences(ours: Iterable[Any], real: Iterable[Any], also: dict[str, str] | None = None) -> list[str]:
    """What ours look like that no real one does; `also` names one more look that a path may have."""
    known, problems = looks(real), []
    for path, found in looks(ours).items():
        allowed = known.get(path, set()) | ({also[path]} if also and path in also else set())
        problems += [
            f"{path}: ours {look}, real {sorted(allowed) or 'never there'}" for look in sorted(found - allowed)
        ]
    return problems


def json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
