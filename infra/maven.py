"""Fetches what a pom.xml names, once, through Maven and the user's own Maven settings."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


class MavenProblem(Exception):
    """Maven is not there or could not fetch; the message says which and how to go on."""


def fetch_once(pom: Path, folder: Path, what: str, unpack: Callable[[Path], None] = lambda new: None) -> Path:
    """Have the jars of `pom` in `folder`, or what `unpack` makes of them there; does nothing when that pom was already
    fetched. `what` is how a person calls it. Raises `MavenProblem`.

    Two at once do not disturb each other: what is there appears whole, by a rename.
    """
    stamp = folder / "FETCHED"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return folder
    if shutil.which("mvn") is None:
        raise MavenProblem("Maven is missing: sudo apt-get install maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        copy_jars(pom, new, what)
        unpack(new)
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


def copy_jars(pom: Path, folder: Path, what: str) -> None:
    argv = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder.resolve()}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0 or not any(folder.glob("*.jar")):
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise MavenProblem(f"Maven could not fetch {what} (see your Maven settings):\n{said}")
