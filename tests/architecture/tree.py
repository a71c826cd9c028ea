"""Reads the tracked files of this repository and the imports of its Python files."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("libs", "services", "pipelines", "infra")
GENERATED = ("_pb2.py", "_pb2_grpc.py")


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files that git tracks or would track, relative to the root; a tree without git is read as it lies there."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    if said.returncode == 0:
        names = [Path(name) for name in said.stdout.splitlines()]
    else:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not hidden(path.relative_to(ROOT))]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def hidden(path: Path) -> bool:
    ours = (".ci", ".github", ".gitignore", ".dockerignore")
    return "__pycache__" in path.parts or (path.parts[0].startswith(".") and path.parts[0] not in ours)


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.parts[0] in folders and not path.name.endswith(GENERATED)
    ]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, dotted: `from a.b import c` gives `a.b.c`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_lines(path: Path) -> int:
    """Lines that do something: no blank ones, no comments, no docstrings, no imports."""
    tree = parsed(path)
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                silent.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = (ROOT / path).read_text().splitlines()
    spoken = [line.strip() for number, line in enumerate(lines, 1) if number not in silent]
    return sum(1 for line in spoken if line and not line.startswith("#"))
