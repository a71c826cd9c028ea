"""Fetches the broker's jars once, through Maven and the user's own Maven settings."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
JARS = Path(__file__).parents[2] / ".cache" / "kafka" / "jars"


class JarsMissing(Exception):
    """Maven is not there or could not fetch; the message says which and how to go on."""


def fetch_jars(folder: Path = JARS) -> Path:
    """Have every jar of pom.xml in `folder`; does nothing when that pom was already fetched. Raises `JarsMissing`."""
    stamp = folder / "FETCHED"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    if shutil.which("mvn") is None:
        raise JarsMissing("Maven is missing: sudo apt-get install maven")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = f"-DoutputDirectory={folder.resolve()}"
    done = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", target], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise JarsMissing(
            f"Maven could not fetch the broker (see your Maven settings):\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    stamp.write_text(digest)
    return folder
