"""Runs every test as `make test` does, and says what a machine without recorded data leaves out."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA_SETTING, recorded_data

ROOT = Path(__file__).parents[1]
TOOLS = ("java", "buf", "ruff", "mypy", "lint-imports")


def main() -> int:
    """pytest's own exit code; with CI=true missing data or a missing tool is a failure before anything runs."""
    missing = [f"the program {tool}" for tool in TOOLS if shutil.which(tool) is None]
    data = recorded_data()
    if not data.is_dir():
        missing.append(f"recorded market data at {data} ({DATA_SETTING})")
    if missing and os.environ.get("CI") == "true":
        print(f"missing: {', '.join(missing)}; with CI=true that is a failure", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    # the quick ones first, then those that share one broker and one MLflow server
    code = pytest.main(["-q", "tests/architecture", "tests/unit", "tests/contract", "tests/integration", "tests/e2e"])
    if missing:
        print(f"left out: tests that need {', '.join(missing)}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
