"""What a program finds where it is to run: a folder that says what wrote it, and ports in use or free."""

from __future__ import annotations

from pathlib import Path

from infra.daemon import port_is_taken


class ServerProblem(Exception):
    """Something that a person has to change before a server can run here; the message says what."""


def mark(folder: Path, name: str, wanted: str) -> str | None:
    """What the file `name` says wrote the folder; an empty folder is marked as `wanted`. None: a stranger's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / name
    if not marker.exists():
        if any(folder.iterdir()):
            return None
        marker.write_text(f"{wanted}\n")
    return marker.read_text().strip()


def check_version(folder: Path, program: str, version: str) -> None:
    """Mark a new folder with a server's version. Raises `ServerProblem`: another version wrote it, or a stranger."""
    wanted = f"{program} {version}"
    found = mark(folder, "VERSION", wanted)
    if found is None:
        stranger = min(path.name for path in folder.iterdir())
        raise ServerProblem(f"{folder} holds {stranger!r} but no VERSION: not a folder of {program}; move it away")
    if found != wanted:
        raise ServerProblem(
            f"{folder} was written by {found!r}, this is {wanted!r}; move it away or `make clean` to forget it"
        )


def check_port(port: int, use: str) -> None:
    if port_is_taken(port):
        raise ServerProblem(f"port {port} ({use}) is in use; stop what uses it or choose another port")
