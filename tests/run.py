"""Runs every test as `make test` does, and says what a machine without recorded data or a tool leaves out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.tools import missing_tools
from tests.conftest import DATA_SETTING, LANES, WITH_REAL_PARTS, recorded_data

ROOT = Path(__file__).parents[1]
QUICK = ("architecture", "unit", "chart")
COMPILE = (
    "from libs.trading.features.catalogue import full_spec; from libs.trading.features.engine import compile_kernels; "
    "compile_kernels(full_spec(10**9, 10**9 // 4))"
)
TOOLS = ("java", "buf", "ruff", "mypy", "lint-imports")


def main() -> int:
    """pytest's own exit code; with CI=true missing data or a missing tool is a failure before anything runs."""
    missing = [f"the program {tool}" for tool in TOOLS if shutil.which(tool) is None]
    missing += [f"{tool} (of the chart; install it with: {remedy})" for tool, remedy in missing_tools().items()]
    data = recorded_data()
    if not data.is_dir():
        missing.append(f"recorded market data at {data} ({DATA_SETTING})")
    if missing and os.environ.get("CI") == "true":
        print(f"missing: {', '.join(missing)}; with CI=true that is a failure", file=sys.stderr)
        return 1
    if missing:
        print(f"left out: tests that need {', '.join(missing)}", flush=True)
    os.chdir(ROOT)
    compile_kernels_once()
    folders = [f"tests/{name}" for name in (*QUICK, *WITH_REAL_PARTS)]
    # a process for each lane of tests/conftest.py and one for what is quick, which the others join in the end
    spread = ["-n", str(len(LANES) + 1), "--dist", "loadscope", "--no-loadscope-reorder"]
    return int(pytest.main(["-q", *spread, *folders, *sys.argv[1:]]))


def compile_kernels_once() -> None:
    """Into a folder that every process of the run reads: none compiles them for itself."""
    print("compiling the kernels once, before every process would do it", flush=True)
    os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".cache" / "numba")
    subprocess.run([sys.executable, "-c", COMPILE], check=True)


if __name__ == "__main__":
    sys.exit(main())
