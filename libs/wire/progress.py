"""How far an archive has come: the next offset of each partition and the time that each session has reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.wire.places import Where, place_at

FILE_NAME = "progress.json"
VERSION = 1


class ProgressUnreadable(Exception):
    """A progress file of another version or with damaged content; the message names it."""


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """How far one session of one instrument is archived: `until` is its greatest event time (ns since 1970 UTC)."""

    until: int
    partition: int
    offset: int  # of its newest record
    ended: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Files hold everything below the next offset of each (topic, partition); sessions by (instrument, session)."""

    next_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    sessions: Mapping[tuple[str, str], SessionProgress] = field(default_factory=dict)


def read_progress(where: Where) -> Progress | None:
    """None when there is none yet. Raises ProgressUnreadable, PlaceAway and PlaceProblem."""
    place = place_at(where)
    data, path = place.read(FILE_NAME), place.where(FILE_NAME)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ProgressUnreadable(f"{path}: {error}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ProgressUnreadable(f"{path} is not of version {VERSION}")
    try:
        return Progress(
            {(row["topic"], row["partition"]): row["next_offset"] for row in document["partitions"]},
            {
                (row["instrument"], row["session"]): SessionProgress(
                    row["until_ns"], row["partition"], row["offset"], row["ended"]
                )
                for row in document["sessions"]
            },
        )
    except (KeyError, TypeError) as error:
        raise ProgressUnreadable(f"{path}: {error!r}") from error


def write_progress(where: Where, progress: Progress) -> None:
    """Replace the progress file at once; call it after the files it tells of are written. Raises PlaceAway and
    PlaceProblem."""
    document = {
        "version": VERSION,
        "partitions": [
            {"topic": topic, "partition": partition, "next_offset": offset}
            for (topic, partition), offset in sorted(progress.next_offsets.items())
        ],
        "sessions": [
            {
                "instrument": instrument,
                "session": session,
                "until_ns": seen.until,
                "partition": seen.partition,
                "offset": seen.offset,
                "ended": seen.ended,
            }
            for (instrument, session), seen in sorted(progress.sessions.items())
        ],
    }
    place_at(where).write(FILE_NAME, json.dumps(document, indent=1).encode())


def archived_until(where: Where, instrument: str, session: str) -> int | None:
    """The greatest event time (ns, session time) of the market events in files; None before the first.

    Events of an instrument are in one partition in order, so when this has passed a time, everything that the log said
    before that moment is in files, save what a venue reported late."""
    progress = read_progress(where)
    seen = progress.sessions.get((instrument, session)) if progress else None
    return None if seen is None else seen.until
