"""Who comes after a writer that was killed waits, and a lock that cannot be had says why."""

from __future__ import annotations

import errno
import fcntl
import json
import threading
import time
from pathlib import Path

import pytest

from libs.wire.places import Folder, PlaceProblem
from services.archive.adapters.one_writer import CLAIM, Claim, FolderLock, Taken

GOES_ON = threading.Event()


def given_up(place: Folder) -> bool:
    return bool(json.loads(place.read(CLAIM) or b"")["given_up"])


def test_a_claim_that_was_given_up_is_taken_at_once_and_another_after_a_while(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    first = Claim(place, 60.0)
    first.take(GOES_ON)
    first.release()
    assert given_up(place)
    Claim(place, 60.0).take(GOES_ON)  # and is killed
    began = time.monotonic()
    third = Claim(place, 0.5)
    third.take(GOES_ON)
    assert 0.5 <= time.monotonic() - began < 30.0
    third.check()


def test_who_is_stopped_while_waiting_leaves_the_waiting_to_the_next(tmp_path: Path) -> None:
    place, stop = Folder(tmp_path), threading.Event()
    Claim(place, 0.0).take(GOES_ON)  # and is killed with a file on its way
    stop.set()
    stopped = Claim(place, 60.0)
    stopped.take(stop)
    stopped.release()
    assert not given_up(place)


def test_a_lock_that_another_process_holds_and_one_that_there_cannot_be_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = FolderLock(Folder(tmp_path)), FolderLock(Folder(tmp_path))
    first.take(GOES_ON)
    with pytest.raises(Taken, match="another process writes into"):
        second.take(GOES_ON)
    first.release()

    def none_available(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")  # as on a network share without them

    monkeypatch.setattr(fcntl, "flock", none_available)
    with pytest.raises(PlaceProblem, match="locking: No locks available"):
        second.take(GOES_ON)
