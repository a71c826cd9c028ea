"""Fetches PostgreSQL's programs once, through Maven and the user's own Maven settings."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
PROGRAMS = Path(__file__).parents[2] / ".cache" / "postgres"


class ProgramsMissing(Exception):
    """Maven is not there or could not fetch; the message says which and how to go on."""


def postgres_version() -> str:
    """The version in pom.xml, the one place that names it."""
    found = re.search(r"<artifactId>embedded-postgres-[^<]*</artifactId>\s*<version>([^<]+)</version>", POM.read_text())
    if found is None:
        raise ProgramsMissing(f"{POM.name} names no embedded-postgres-binaries")
    return found.group(1)


def fetch_programs(folder: Path = PROGRAMS) -> Path:
    """Have bin/, lib/ and share/ in `folder`; does nothing when that pom was already fetched. Raises `ProgramsMissing`.

    Two at once do not disturb each other: what is there appears whole, by a rename.
    """
    stamp = folder / "FETCHED"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    if shutil.which("mvn") is None:
        raise ProgramsMissing("Maven is missing: sudo apt-get install maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix="postgres-", dir=folder.parent))
    try:
        unpack(fetch_jar(new / "jar"), new)
        (new / "FETCHED").write_text(digest)
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            new.rename(folder)
        except OSError:  # another process was quicker
            if not stamp.exists():
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def fetch_jar(folder: Path) -> Path:
    argv = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder.resolve()}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    jars = sorted(folder.glob("*.jar"))
    if done.returncode != 0 or not jars:
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise ProgramsMissing(f"Maven could not fetch PostgreSQL (see your Maven settings):\n{said}")
    return jars[0]


def unpack(jar: Path, folder: Path) -> None:
    """The jar holds one compressed archive of the programs."""
    with zipfile.ZipFile(jar) as inside:
        name = next(name for name in inside.namelist() if name.endswith(".txz"))
        with inside.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as archive:
            archive.extractall(folder, filter="data")
    shutil.rmtree(jar.parent)
