"""Compiles each dependency group of pyproject.toml into requirements/<group>.txt, hashed, without an index address."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from infra.prepare import ROOT, VENV, uv_settings

OPTIONS = ("--quiet", "--no-emit-index-url", "--no-header", "--generate-hashes")
PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28")


def main() -> int:
    """`dev` first; every other group takes the versions that `dev` has, so that images run what tests ran."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    folder = ROOT / "requirements"
    for group in sorted(groups, key=lambda name: (name != "dev", name)):
        same = () if group == "dev" else ("--constraints", "requirements/dev.txt")
        compile_group(group, folder / f"{group}.txt", same)
    return 0


def compile_group(group: str, lock: Path, same: tuple[str, ...]) -> None:
    argv = [str(VENV / "bin" / "uv"), "pip", "compile", *OPTIONS, *PLATFORM, "--group", f"pyproject.toml:{group}"]
    target = ["--output-file", str(lock.relative_to(ROOT))]
    subprocess.run([*argv, *same, *target], cwd=ROOT, env={**os.environ, **uv_settings()}, check=True)
    print(f"locked {lock.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
