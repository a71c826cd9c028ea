"""A stretch of an environment's archive as a log: waits until it is there, then reads one instrument of one session."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Iterator

from libs.trading.market import MarketRecord
from libs.wire.archive import ArchiveReader
from libs.wire.market import decode_record
from libs.wire.payload import check_payload
from libs.wire.places import Place, PlaceAway, PlaceProblem, Where, open_place, place_at
from libs.wire.progress import SessionProgress, read_progress
from pipelines.retrain.adapters.run_folder import NotYet, RunError

TOPIC = "market.events"
POLL_S = 0.5


def archive_at(address: str) -> Place:
    """The archive at a folder or `s3://bucket/prefix`. Raises RunError for an address that is neither."""
    try:
        return open_place(address, os.environ)
    except PlaceProblem as error:
        raise RunError(f"--archive: {error}") from error


def check_archive(archive: Where) -> None:
    """Raises RunError when there is no such folder or bucket, PlaceAway when it does not answer."""
    try:
        place_at(archive).check()
    except PlaceProblem as error:
        raise RunError(f"--archive: {error}") from error


def find_session(archive: Where, instrument: str | None, session: str | None) -> tuple[str, str]:
    """The one (instrument, session) that is meant; None where there is only one to choose.

    Raises RunError that lists what the archive holds and names the nearest to a misspelt one.
    """
    check_archive(archive)
    progress = read_progress(archive)
    known = sorted(progress.sessions) if progress else []
    if not known:
        raise RunError(f"{archive}: no market events are archived yet")
    instruments = sorted({name for name, _ in known})
    chosen = _one("instrument", instrument, instruments)
    return chosen, _one("session", session, [s for name, s in known if name == chosen])


def _one(what: str, wanted: str | None, known: list[str]) -> str:
    if wanted in known and wanted is not None:
        return wanted
    if wanted is None and len(known) == 1:
        return known[0]
    listed = ", ".join(known)
    if wanted is None:
        raise RunError(f"several {what}s are archived, name one with --{what}: {listed}")
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f", did you mean {near[0]}?" if near else "."
    raise RunError(f"unknown {what} {wanted!r}{hint} Archived: {listed}")


def wait_until_archived(
    archive: Where, instrument: str, session: str, until_ns: int, patience_s: float, progress: Callable[[str], None]
) -> None:
    """Return once the session is archived past `until_ns` (session time) or has ended. Raises NotYet after
    `patience_s` without that."""
    deadline = time.monotonic() + patience_s
    while True:
        seen, away = _reached(archive, instrument, session)
        if seen is not None and (seen.until >= until_ns or seen.ended):
            return
        missing = (until_ns - (seen.until if seen else 0)) / 1e9
        state = away or f"{archive}: {missing:.1f} s of the stretch are not archived"
        if time.monotonic() > deadline:
            raise NotYet(f"{state} after {patience_s:g} s of waiting (--patience-s)")
        progress(f"waiting for the archive, {away or f'{missing:.1f} s of session time to come'}")
        time.sleep(POLL_S)


def _reached(archive: Where, instrument: str, session: str) -> tuple[SessionProgress | None, str]:
    """How far the session is archived, or why that cannot be seen now."""
    try:
        progress = read_progress(archive)
    except PlaceAway as error:
        return None, str(error)
    return (progress.sessions.get((instrument, session)) if progress else None), ""


def archive_log(archive: Where, instrument: str, session: str, until_ns: int) -> Iterator[tuple[int, MarketRecord]]:
    """(offset, record) of one session in log order, up to the first record that begins after `until_ns`.

    Raises ArchiveDamaged or MalformedMessage that name the file or field.
    """
    reader = ArchiveReader(archive)
    progress = read_progress(archive)
    place = progress.sessions.get((instrument, session)) if progress else None
    key = instrument.encode()
    for archived in reader.records(TOPIC, None if place is None else place.partition):
        if archived.key != key or archived.value is None:
            continue
        check_payload(TOPIC, archived.headers)
        record = decode_record(archived.value)
        if record.head.session != session:
            continue
        yield archived.offset, record
        if len(record.rows) and int(record.rows["event_time"].min()) > until_ns:
            return
