"""Recordings ready to be played: raw captures become archive files first, archive files are read as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from libs.trading.market import (
    WALL_CLOCK,
    BookUpdate,
    Channel,
    FeedGap,
    MarketEvent,
    Provenance,
    RecordHead,
    SessionEnd,
    Trade,
)
from libs.wire.archive import ArchiveDamaged, ArchivedRecord, ArchiveWriter, read_file
from libs.wire.malformed import MalformedMessage
from libs.wire.market import decode_events, encode_events
from services.exchange_simulator.adapters.raw_capture import Capture, RecordingProblem
from services.exchange_simulator.domain.recording import Moment

TOPIC = "market.events"
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a recording holds: whose market, from how good a source, from when to when (ns), in which steps."""

    instrument: str
    provenance: Provenance
    digest: str
    start_ns: int
    ends_ns: tuple[int, ...]  # of each file
    tick: Decimal
    lot: Decimal


def prepare(files: Sequence[Path], folder: Path) -> tuple[list[Path], str]:
    """Archive files of the recording, converted into `folder` when they are raw captures, and the originals' digest.

    Raises `RecordingProblem`."""
    digest = hashlib.sha256()
    for path in files:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise RecordingProblem(f"no such recording: {path} ({error.strerror})") from error
    name = digest.hexdigest()
    kinds = {path.suffix for path in files}
    if kinds == {".parquet"}:
        return list(files), name
    if kinds != {".gz"}:
        raise RecordingProblem(
            f"{', '.join(map(str, files))}: wanted archive files (.parquet) or raw captures (.gz), not both"
        )
    return _convert(files, folder / name[:16], name), name


def _convert(files: Sequence[Path], folder: Path, digest: str) -> list[Path]:
    """One archive file for each capture, offsets going on from one to the next; not done again in a whole folder."""
    marker = folder / "WHOLE"
    if marker.exists():
        return [folder / TOPIC / name for name in marker.read_text().split()]
    writer, capture, offset = ArchiveWriter(folder), Capture(), 0
    paths: list[Path] = []
    for left in folder.glob(f"{TOPIC}/*"):
        left.unlink()  # of a conversion that was killed
    for number, path in enumerate(files, 1):
        records = _records(capture, path, digest, offset, is_last=number == len(files))
        paths += [folder / file.name for file in writer.write(records)]
        offset += len(records)
    marker.write_text("\n".join(path.name for path in paths))
    return paths


def _records(capture: Capture, path: Path, digest: str, offset: int, is_last: bool) -> list[ArchivedRecord]:
    lines = list(capture.events(path))
    first, last = lines[0], lines[-1]
    if offset == 0:
        opening = FeedGap(_time(first[1][0]) or first[0], Channel.ALL, 0, 0, "the recording begins")
        lines.insert(0, (first[0], [opening]))
    if is_last:
        end = max(_time(event) or 0 for event in last[1])
        lines.append((last[0], [SessionEnd(end)]))
    return [
        _record(capture.instrument, digest, offset + place, received, events)
        for place, (received, events) in enumerate(lines)
    ]


def _record(instrument: str, digest: str, offset: int, received_ns: int, events: list[MarketEvent]) -> ArchivedRecord:
    head = RecordHead(instrument, f"rec-{digest[:12]}", 0, offset, Provenance.RECORDED, received_ns, WALL_CLOCK)
    return ArchivedRecord(TOPIC, 0, offset, received_ns // NS_PER_MS, instrument.encode(), encode_events(head, events))


def look_through(files: Sequence[Path], digest: str) -> Found:
    """Read every file once. Raises `RecordingProblem` for what is not one unbroken history of one instrument."""
    heads: set[tuple[str, str, Provenance]] = set()
    prices: set[float] = set()
    sizes: set[float] = set()
    start, latest, ends = 0, 0, []
    for path in files:
        for head, events in _read(path):
            heads.add((head.instrument, head.session, head.provenance))
            for event in events:
                _collect(event, prices, sizes)
            latest = max(latest, _due(head, events))
            start = start or latest
        ends.append(latest)
    if len(heads) != 1:
        raise RecordingProblem(
            f"wanted one session of one instrument, found {sorted(heads) or 'no record'} in {_names(files)}"
        )
    if not prices:
        raise RecordingProblem(f"no trade and no book in {_names(files)}")
    instrument, _, provenance = heads.pop()
    least = min(provenance, Provenance.RECORDED)
    return Found(instrument, least, digest, start, tuple(ends), _step(prices), _step(sizes))


def moments(files: Iterable[Path]) -> Iterator[Moment]:
    """What was recorded, and when each record is due: never before its own event, never before the one before it."""
    due = 0
    for path in files:
        for head, events in _read(path):
            due = max(due, _due(head, events))
            yield Moment(due, events)


def _read(path: Path) -> Iterator[tuple[RecordHead, list[MarketEvent]]]:
    try:
        for record in read_file(path):
            if record.value is not None:
                yield decode_events(record.value)
    except (ArchiveDamaged, MalformedMessage, OSError) as error:
        raise RecordingProblem(f"{path}: {error}") from error


def _due(head: RecordHead, events: Sequence[MarketEvent]) -> int:
    """When the record could be known: its receive time, unless the recorder's clock ran behind the event's."""
    return max([_time(event) or 0 for event in events] + [head.received_time])


def _time(event: MarketEvent) -> int | None:
    return getattr(event, "event_time", None)


def _collect(event: MarketEvent, prices: set[float], sizes: set[float]) -> None:
    if isinstance(event, Trade):
        prices.add(event.price)
        sizes.add(event.size)
    elif isinstance(event, BookUpdate):
        for side in (event.bids, event.asks):
            prices.update(price for price, _ in side)
            sizes.update(size for _, size in side)


def _step(values: set[float]) -> Decimal:
    """The finest decimal place that any value uses, which is the instrument's step or a part of it."""
    exponents = (Decimal(repr(value)).normalize().as_tuple().exponent for value in values if value)
    return Decimal(1).scaleb(min((int(exponent) for exponent in exponents), default=0))


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in files)
