"""Where the programs are that read the chart, and how a missing one is installed."""

from __future__ import annotations

import os
import shutil

import pytest

from infra.prepare import KUBECONFORM, VENV, kubeconform


def helm() -> str | None:
    """Helm, of the virtual environment's own package or of PATH."""
    return shutil.which("helm", path=str(VENV / "bin")) or shutil.which("helm")


def missing_tools() -> dict[str, str]:
    """What the chart's tests lack on this machine, each with the line that installs it."""
    remedies = {
        "helm": None if helm() else "make setup",
        "kubeconform": None if kubeconform() else f"go install {KUBECONFORM}, or `make setup` where Go is on PATH",
    }
    return {tool: remedy for tool, remedy in remedies.items() if remedy}


def needed(tool: str) -> None:
    """Leave the test out where the tool is missing; with CI=true that is a failure."""
    remedy = missing_tools().get(tool)
    if remedy is None:
        return
    message = f"{tool} is missing; install it with: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
