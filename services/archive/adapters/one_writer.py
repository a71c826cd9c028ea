"""One archive writes a place at a time: a lock on a folder, a claim in a bucket."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import uuid
from datetime import UTC, datetime
from typing import IO, Protocol

from libs.runtime.logs import get_logger
from libs.wire.places import Folder, Place

CLAIM = "writer.json"

log = get_logger("archive")


class Taken(Exception):
    """Another process writes there; the message says which and where."""


class OneWriter(Protocol):
    def take(self, stop: threading.Event) -> None:
        """Become the writer, unless `stop` ends the waiting for it. Raises Taken, PlaceAway and PlaceProblem; may be
        called again after these."""

    def check(self) -> None:
        """Raises Taken when another one has become the writer, and PlaceAway when that cannot be seen."""

    def release(self) -> None: ...


def one_writer(place: Place, takeover_s: float) -> OneWriter:
    return FolderLock(place) if isinstance(place, Folder) else Claim(place, takeover_s)


class FolderLock:
    """The system's lock on `.lock`: it ends with the process that holds it, so it needs no looking after."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._held: IO[str] | None = None

    def take(self, stop: threading.Event) -> None:
        path = self._folder.path / ".lock"
        with self._folder.telling("locking"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._held = path.open("w")
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self.release()
                raise Taken(f"another process writes into {self._folder}") from error

    def check(self) -> None:
        pass

    def release(self) -> None:
        if self._held is not None:
            self._held.close()


class Claim:
    """The object `writer.json`, which whoever started last has written: an earlier writer sees that before its next
    file, and stops. A bucket cannot do more: pyarrow has no conditional PUT (docs/decisions says what that leaves).

    Unless the one before gave its claim up, `take` waits `takeover_s` for its last file to arrive or fail, so that
    what is listed afterwards is all of it. Stopped meanwhile, it leaves the waiting to whoever comes next."""

    def __init__(self, place: Place, takeover_s: float) -> None:
        self._place = place
        self._takeover_s = takeover_s
        self._writer = uuid.uuid4().hex
        self._before: dict[str, object] | None = None  # whose claim was found; empty when there is no need to wait

    def take(self, stop: threading.Event) -> None:
        self._place.check()
        if self._before is None:
            self._before = self._read()
        if self._read().get("writer") != self._writer:
            self._write(given_up=False)
        if self._before and not self._before.get("given_up"):
            said = "taking over from a writer that did not give up"
            log.warning(said, waits_s=self._takeover_s, **_named(self._before))
            if stop.wait(self._takeover_s):
                return
        self._before = {}
        self.check()

    def check(self) -> None:
        now = self._read()
        if now.get("writer") != self._writer:
            found = ", ".join(f"{name} {value}" for name, value in _named(now).items()) or "nobody"
            raise Taken(
                f"{self._place.where(CLAIM)} names another writer ({found}): one archive at a time writes there"
            )

    def release(self) -> None:
        """So that the next one need not wait."""
        if self._before == {} and self._read().get("writer") == self._writer:
            self._write(given_up=True)

    def _read(self) -> dict[str, object]:
        data = self._place.read(CLAIM)
        try:
            found = json.loads(data or b"{}")
        except ValueError:
            found = {"host": "unreadable"}
        return found if isinstance(found, dict) else {}

    def _write(self, *, given_up: bool) -> None:
        claim = {
            "writer": self._writer,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "given_up": given_up,
        }
        self._place.write(CLAIM, json.dumps(claim).encode())


def _named(claim: dict[str, object]) -> dict[str, object]:
    return {name: claim[name] for name in ("host", "pid", "since") if name in claim}
