"""PostgreSQL's programs, fetched once."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

from infra.maven import MavenProblem, fetch_once

POM = Path(__file__).with_name("pom.xml")
PROGRAMS = Path(__file__).parents[2] / ".cache" / "postgres"


def postgres_version() -> str:
    """The version in pom.xml, the one place that names it."""
    found = re.search(r"<artifactId>embedded-postgres-[^<]*</artifactId>\s*<version>([^<]+)</version>", POM.read_text())
    if found is None:
        raise MavenProblem(f"{POM.name} names no embedded-postgres-binaries")
    return found.group(1)


def fetch_programs(folder: Path = PROGRAMS) -> Path:
    """Have bin/, lib/ and share/ in `folder`. Raises `MavenProblem`."""
    return fetch_once(POM, folder, "PostgreSQL", unpack)


def unpack(folder: Path) -> None:
    """The one jar in `folder` holds one compressed archive of the programs, which takes its place."""
    [jar] = folder.glob("*.jar")
    with zipfile.ZipFile(jar) as inside:
        name = next(name for name in inside.namelist() if name.endswith(".txz"))
        with inside.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
            archive.extractall(folder, filter="data")
    jar.unlink()
