"""The broker's jars, fetched once."""

from __future__ import annotations

from pathlib import Path

from infra.maven import fetch_once

POM = Path(__file__).with_name("pom.xml")
JARS = Path(__file__).parents[2] / ".cache" / "kafka" / "jars"


def fetch_jars(folder: Path = JARS) -> Path:
    """Have every jar of pom.xml in `folder`. Raises `MavenProblem`."""
    return fetch_once(POM, folder, "the broker")
