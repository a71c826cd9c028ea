"""Snapshot: replay a stretch of the log through the one feature engine and freeze its vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.bundle.digest import array_digest, sha256
from libs.trading.features.replay import replay, replay_log
from libs.trading.features.spec import FeatureSpec
from libs.trading.features.vector import FeatureVector
from libs.trading.market import MarketRecord, Provenance, RowKind
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, write_facts
from pipelines.retrain.adapters.tables import write_columns
from pipelines.retrain.steps.dataset import FEATURE
from pipelines.retrain.steps.leakage import leakage_canary

Log = Iterable[tuple[int, MarketRecord]]
Progress = Callable[[str, float | None], None]

CANARY_ROWS = 100_000
EVERY = 2_000  # vectors between two reports of progress
BPS = 1e-4
OPEN_END = 2**62  # a stretch that ends where the log does


@dataclass(frozen=True, slots=True)
class Stretch:
    """[from_ns, to_ns) of as-of, in session time; `session` None takes every session found."""

    from_ns: int
    to_ns: int
    session: str | None


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the log itself cannot say.

    `history_delay_ns`: how long after the event that completed it a vector was known where the session's clock did not
    run at rate 1, so that received times mean nothing. `half_spread_bps`: the quote around the last price where there
    is no book; None leaves such rows without a quote.
    """

    history_delay_ns: int
    half_spread_bps: float | None


class _Witness:
    """Looks at every record on its way into the engine: gaps, and the rows that the leakage canary replays."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.gaps: list[dict[str, Any]] = []
        self.records = 0
        self.kept: list[MarketRecord] = []
        self._kept_rows = 0
        self._told: set[tuple[str, str]] = set()

    def watch(self, log: Log) -> Iterator[tuple[int, MarketRecord]]:
        for offset, record in log:
            head = record.head
            if self.stretch.session is not None and head.session != self.stretch.session:
                continue
            self.records += 1
            self._note_gaps(record)
            first = self.kept[0].head if self.kept else head
            same = (first.instrument, first.session) == (head.instrument, head.session)
            if same and self._kept_rows < CANARY_ROWS:
                self.kept.append(record)
                self._kept_rows += len(record.rows)
            yield offset, record

    def _note_gaps(self, record: MarketRecord) -> None:
        """A gap before anything else of its session is its opening, not a loss."""
        rows, source = record.rows, (record.head.instrument, record.head.session)
        gap = rows["kind"] == RowKind.GAP
        for row in rows[gap]:
            if source in self._told and int(row["event_time"]) < self.stretch.to_ns:
                self.gaps.append(
                    {"instrument": source[0], "at_ns": int(row["event_time"]), "channel": int(row["side"])}
                )
        if not gap.all():
            self._told.add(source)


def snapshot(
    run: RunFolder,
    log: Log,
    spec: FeatureSpec,
    names: tuple[str, ...],
    stretch: Stretch,
    assumptions: Assumptions,
    source: str,
    seed: int,
    progress: Progress,
) -> None:
    """Freeze the vectors whose as-of lies in the stretch. Raises RunError when there are none."""
    witness = _Witness(stretch)
    vectors = _collect(replay_log(spec, witness.watch(log)), stretch, progress)
    if not vectors:
        raise RunError(f"{source}: no vector in [{stretch.from_ns}, {stretch.to_ns}); {witness.records} records read")
    view = spec.view(names)
    columns = _columns(vectors, spec.project(view), names, assumptions)
    write_columns(run.snapshot_table, columns)
    digest = _digest(columns, view.hash)
    write_facts(
        run.snapshot_facts,
        {
            "id": f"{digest[:16]}-{len(vectors)}",
            "digest": digest,
            "source": source,
            "provenance": Provenance(min(int(v.provenance) for v in vectors)).name,
            "rows": len(vectors),
            "records": witness.records,
            "features": list(names),
            "formula_versions": [version for _, version in view.features],
            "view_hash": view.hash,
            "spec_hash": spec.hash,
            "bar_interval_ns": spec.bar_interval,
            "emission_interval_ns": spec.emission_interval,
            "instruments": sorted({v.instrument for v in vectors}),
            "sessions": sorted({v.session for v in vectors}),
            "from_ns": min(v.as_of for v in vectors),
            "to_ns": max(v.as_of for v in vectors) + 1,
            "gaps": witness.gaps,
            "assumed": asdict(assumptions) | {"rows": int(sum(v.clock.rate != 1.0 for v in vectors))},
            "canary": asdict(leakage_canary(lambda records: replay(spec, records), witness.kept, seed)),
        },
    )


def _collect(made: Iterator[FeatureVector], stretch: Stretch, progress: Progress) -> list[FeatureVector]:
    vectors = []
    span = max(1, stretch.to_ns - stretch.from_ns)
    bounded = stretch.from_ns > 0 and stretch.to_ns < OPEN_END
    for count, vector in enumerate(made):
        if stretch.from_ns <= vector.as_of < stretch.to_ns:
            vectors.append(vector)
        if count % EVERY == 0:
            done = (vector.as_of - stretch.from_ns) / span
            share = min(max(done, 0.0), 1.0) if bounded else None
            progress(f"{vector.instrument}, {len(vectors)} vectors", share)
    vectors.sort(key=lambda v: (v.as_of, v.instrument, v.session))
    return vectors


def _columns(
    vectors: list[FeatureVector], place: NDArray[np.intp], names: tuple[str, ...], assumptions: Assumptions
) -> dict[str, NDArray[Any]]:
    values = np.stack([v.values[place] for v in vectors])
    reasons = np.stack([v.reasons[place] for v in vectors])
    quotes = np.array([_quote(v, assumptions.half_spread_bps) for v in vectors])
    columns: dict[str, NDArray[Any]] = {
        "instrument": np.array([v.instrument for v in vectors]),
        "session": np.array([v.session for v in vectors]),
        "as_of": np.array([v.as_of for v in vectors], dtype=np.int64),
        "known_at": np.array([_known_at(v, assumptions.history_delay_ns) for v in vectors], dtype=np.int64),
        "bid": np.ascontiguousarray(quotes[:, 0]),
        "ask": np.ascontiguousarray(quotes[:, 1]),
        "ready": (reasons == 0).all(axis=1),
    }
    return columns | {FEATURE + name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}


def _known_at(vector: FeatureVector, history_delay_ns: int) -> int:
    """Where the clock ran at rate 1: as recorded.

    Elsewhere the received time means nothing: if the engine did not use it, `known_at` is the crossing event's time and
    the vector could be known only then; else all that is sure is its as-of.
    """
    if vector.clock.rate == 1.0:
        return vector.known_at
    crossing = vector.known_at if vector.received_time < vector.known_at else vector.as_of
    return crossing + history_delay_ns


def _quote(vector: FeatureVector, half_spread_bps: float | None) -> tuple[float, float]:
    if vector.quote is not None:
        return vector.quote.bid, vector.quote.ask
    if half_spread_bps is None or vector.last_price is None:
        return np.nan, np.nan
    half = vector.last_price * half_spread_bps * BPS
    return vector.last_price - half, vector.last_price + half


def _digest(columns: dict[str, NDArray[Any]], view_hash: str) -> str:
    """SHA-256 over every column in name order: the same log and view give the same digest, on any machine."""
    parts = [view_hash]
    for name in sorted(columns):
        values = columns[name]
        plain = (
            np.frombuffer("|".join(values.tolist()).encode(), dtype=np.uint8) if values.dtype.kind == "U" else values
        )
        parts.append(f"{name}:{array_digest(plain)}")
    return sha256("\n".join(parts).encode())
