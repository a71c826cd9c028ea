"""Which error ends a call with which exit code, and what it says."""

from __future__ import annotations

import errno
from pathlib import Path

from pydantic import ValidationError

from libs.bundle.canonical import BundleError
from libs.trading.folds import TooFewRows
from libs.trading.labels import LabelRefused
from libs.wire.archive import ArchiveDamaged
from libs.wire.malformed import MalformedMessage
from libs.wire.places import PlaceAway, PlaceProblem
from libs.wire.progress import ProgressUnreadable
from pipelines.retrain.adapters.run_folder import NotYet, RunError
from pipelines.retrain.adapters.scored_table import TableError
from pipelines.retrain.command.codes import A_PERSON_MUST_ACT, TRY_AGAIN
from pipelines.retrain.gates.policy import PolicyError

LAST_WORDS = Path("/dev/termination-log")  # a pod's own: what it holds becomes the pod's, and the workflow's, message
MESSAGE_BYTES = 3000
EXPECTED = (
    RunError, LabelRefused, TooFewRows, PolicyError, TableError, BundleError, ArchiveDamaged, MalformedMessage,
    ProgressUnreadable, PlaceAway, PlaceProblem, ValidationError, OSError,
)  # fmt: skip


def exit_code(error: Exception) -> int:
    return TRY_AGAIN if isinstance(error, NotYet | PlaceAway) else A_PERSON_MUST_ACT


def message(error: Exception) -> str:
    """What to print; a full or read-only disk names itself and the remedy."""
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.ENOSPC: "; make room there: old runs below <state>/runs can be deleted",
        errno.EROFS: "; name a folder that can be written with --state",
        errno.EACCES: "; its owner must let this user in",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{remedy}"


def last_words(text: str, place: Path = LAST_WORDS) -> None:
    """In a pod: leave the message where the pod's status shows it. Elsewhere nothing."""
    if place.is_file():
        place.write_text(text[:MESSAGE_BYTES])
