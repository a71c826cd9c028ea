"""A window of event time over every session of an instrument in the archive: waited for, then read in log order."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.trading.market import MarketRecord, Provenance
from libs.wire.archive import ArchivedRecord, ArchiveReader
from libs.wire.market import decode_record
from libs.wire.payload import check_payload
from libs.wire.places import PlaceAway, Where
from libs.wire.progress import Progress, SessionProgress, read_progress
from pipelines.retrain.adapters.archive_log import TOPIC, check_archive
from pipelines.retrain.adapters.run_folder import NotYet, RunError
from pipelines.retrain.adapters.waiting import when_there

POLL_S = 1.0
NEWCOMER_S = 60.0  # a new instrument may follow the others; a misspelt one never comes
NS = 10**9
Tell = Callable[[str], None]
Sessions = Mapping[str, SessionProgress]


@dataclass(frozen=True, slots=True)
class ArchiveWindow:
    """[from_ns, to_ns) of event time of one instrument; `provenance` None takes the only one there is."""

    instrument: str
    from_ns: int
    to_ns: int
    provenance: Provenance | None = None


def wait_for_instrument(archive: Where, wanted: str | None, patience_s: float, tell: Tell) -> str:
    """The instrument that is meant, once the archive knows it; None where there is only one to choose.

    Raises RunError that names the nearest to a misspelt one, NotYet when nothing is archived after `patience_s`.
    """
    began = time.monotonic()
    when_there(lambda: _reached(archive), patience_s, tell)
    while True:
        progress, away = _progress(archive)
        known = sorted({instrument for instrument, _ in progress.sessions}) if progress else []
        waited = time.monotonic() - began
        if wanted is None and len(known) == 1:
            return known[0]
        if wanted in known and wanted is not None:
            return wanted
        if wanted is None and known:
            raise RunError(f"several instruments are archived, name one with --instrument: {', '.join(known)}")
        if known and waited >= min(NEWCOMER_S, patience_s):
            near = difflib.get_close_matches(str(wanted), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise RunError(f"--instrument {wanted}: nothing of it is archived.{hint} Archived: {', '.join(known)}")
        if waited >= patience_s:
            state = away or f"{archive}: no market events are archived"
            raise NotYet(f"{state} after {patience_s:g} s of waiting; do data-ingestion and archive run?")
        there = away or (f"only {', '.join(known)} so far" if known else "empty so far")
        tell(f"waiting for {wanted or 'an instrument'} in the archive, {there}")
        time.sleep(POLL_S)


def wait_until_passed(archive: Where, window: ArchiveWindow, patience_s: float, tell: Tell) -> None:
    """Return once the log has passed the window's end: the newest session in it (of the provenance asked for) has.

    Older sessions need not reach it: whatever begins later in the log stands after everything they said. Raises NotYet
    after `patience_s` without that.
    """
    deadline = time.monotonic() + patience_s
    provenances: dict[str, Provenance] = {}
    while True:
        progress, away = _progress(archive)
        sessions = _sessions(archive, progress, window, provenances)
        newest = max(sessions, key=lambda name: sessions[name].offset, default=None)
        if newest is not None and sessions[newest].until >= window.to_ns:
            return
        if newest is None:
            asked = "" if window.provenance is None else f" with provenance {window.provenance.name}"
            state = away or f"nothing of {window.instrument}{asked} is archived"
        else:
            missing = (window.to_ns - sessions[newest].until) / NS
            ended = ", and its session has ended" if sessions[newest].ended else ""
            state = f"archived until {_iso(sessions[newest].until)}, {missing:.0f} s are missing{ended}"
        if time.monotonic() > deadline:
            raise NotYet(
                f"{archive}: {window.instrument} has not passed {_iso(window.to_ns)} after {patience_s:g} s of waiting "
                f"(--patience-s): {state}; do data-ingestion and archive run?"
            )
        tell(f"waiting for {window.instrument} to pass {_iso(window.to_ns)}: {state}")
        time.sleep(POLL_S)


def window_log(archive: Where, window: ArchiveWindow) -> Iterator[tuple[int, MarketRecord]]:
    """(offset, record) in log order of every session that reaches into the window, each from its first record (features
    warm up as they did live) to the first one behind the window.

    Raises RunError that names both where the window holds two provenances and none was asked for, ArchiveDamaged or
    MalformedMessage that name the file or field.
    """
    every = ArchiveWindow(window.instrument, window.from_ns, window.to_ns)
    sessions = _sessions(archive, read_progress(archive), every, {})
    to_come = {name: seen.offset for name, seen in sessions.items() if seen.until >= window.from_ns}
    found: dict[Provenance, str] = {}
    for archived in _records(archive, window.instrument, sessions):
        if not to_come:
            return
        if archived.value is None:
            continue
        check_payload(TOPIC, archived.headers)
        record = decode_record(archived.value)
        session = record.head.session
        if session not in to_come:
            continue
        times = record.rows["event_time"]
        behind = bool(len(times)) and int(times.min()) >= window.to_ns
        if behind or archived.offset >= to_come[session]:
            del to_come[session]
        if window.provenance not in (None, record.head.provenance):
            continue
        if len(times) and int(times.max()) >= window.from_ns and not behind:
            found.setdefault(record.head.provenance, session)
            if len(found) > 1:
                raise RunError(_mixed(window, found))
        yield archived.offset, record


def _records(archive: Where, instrument: str, sessions: Sessions) -> Iterator[ArchivedRecord]:
    """The instrument's records of the partitions that hold its sessions."""
    reader, key = ArchiveReader(archive), instrument.encode()
    for partition in sorted({seen.partition for seen in sessions.values()}):
        yield from (record for record in reader.records(TOPIC, partition) if record.key == key)


def _mixed(window: ArchiveWindow, found: Mapping[Provenance, str]) -> str:
    held = " and ".join(f"{provenance.name} (session {session})" for provenance, session in found.items())
    names = " or ".join(f"--provenance {provenance.name}" for provenance in found)
    return f"the window of {window.instrument} holds {held}: a model learns from one kind of data, choose {names}"


def _reached(archive: Where) -> None:
    """Raises RunError when there is no such place, NotYet while it does not answer."""
    try:
        check_archive(archive)
    except PlaceAway as error:
        raise NotYet(str(error)) from error


def _progress(archive: Where) -> tuple[Progress | None, str]:
    """None before the first; and while the place is away, with why."""
    try:
        return read_progress(archive), ""
    except PlaceAway as error:
        return None, str(error)


def _sessions(
    archive: Where, progress: Progress | None, window: ArchiveWindow, provenances: dict[str, Provenance]
) -> dict[str, SessionProgress]:
    """The instrument's sessions (of the provenance asked for); `provenances` remembers what was looked up."""
    held = progress.sessions if progress else {}
    sessions = {name: seen for (what, name), seen in held.items() if what == window.instrument}
    if window.provenance is None:
        return sessions
    for name in sessions.keys() - provenances.keys():
        provenances[name] = _provenance(archive, sessions[name])
    return {name: seen for name, seen in sessions.items() if provenances[name] is window.provenance}


def _provenance(archive: Where, seen: SessionProgress) -> Provenance:
    """Of a session, as its newest archived record says."""
    for record in ArchiveReader(archive).records(TOPIC, seen.partition, seen.offset):
        if record.value is not None:
            return decode_record(record.value).head.provenance
    raise RunError(f"{archive}: offset {seen.offset} of {TOPIC}-{seen.partition} is in progress.json but in no file")


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
