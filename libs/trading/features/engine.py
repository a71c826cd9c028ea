"""One instrument's feature engine: records in, vectors out, the same online, in replay and after a restart."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.trading.features.catalogue import CATALOGUE, N_FEATURES
from libs.trading.features.kernels.process import STATE_DTYPE, new_state, process
from libs.trading.features.kernels.state import LATENESS_NS, LAYOUT, OUTPUT_DTYPE, ROW_DTYPE, Counter
from libs.trading.features.spec import FeatureSpec, ViewMismatch
from libs.trading.features.vector import EmissionReason, FeatureVector, vector_id
from libs.trading.market import (
    EVENT_DTYPE,
    WALL_CLOCK,
    Channel,
    MarketRecord,
    Provenance,
    Quote,
    RecordHead,
    RowKind,
    Rows,
)

OUTPUT_ROWS = 256
NO_OFFSET = -1  # an input that has no place in a log
SNAPSHOT_VERSION = 1

_MAGIC = b"feature-engine\x00"
_CHANNELS = tuple(channel for channel in Channel if channel is not Channel.ALL)


class SnapshotMismatch(ValueError):
    """A snapshot that this engine cannot go on from: other spec, instrument, layout or version, or damaged bytes."""


class FeatureEngine:
    """The state of one instrument, for one thread; nothing here reads a clock.

    Raises `ViewMismatch` for a feature that the kernels do not have in that version, ValueError for intervals that do
    not fit each other (see `bucket_length`).
    """

    def __init__(self, spec: FeatureSpec, instrument: str) -> None:
        self.spec = spec
        self.instrument = instrument
        self.session = ""
        self.epoch = 0
        self.offset = NO_OFFSET
        self.provenance = Provenance.LIVE
        self._spec_hash = spec.hash
        self._columns = kernel_columns(spec)
        self._state = new_state(spec)
        self._out = np.zeros(OUTPUT_ROWS, dtype=OUTPUT_DTYPE)
        self._end = np.zeros(1, dtype=np.int64)
        self._received = np.zeros(1, dtype=np.int64)

    @property
    def watermark(self) -> int:
        """Event time (ns) up to which everything is known; 0 before the first event."""
        return int(self._state["watermark"][0])

    @property
    def counters(self) -> dict[Counter, int]:
        """What happened since the session began."""
        return {counter: int(self._state["counters"][0, counter]) for counter in Counter}

    def update(self, record: MarketRecord, offset: int) -> list[FeatureVector]:
        """Take one record at its place in the log and return the vectors that it completed, oldest first.

        A record at or before the engine's offset, or of an older epoch, changes nothing. Another session resets.
        """
        if not self.admit(record, offset):
            return []
        self._end[0] = len(record.rows)
        self._received[0] = record.head.received_time
        return self.run(record.rows, self._end, self._received, (record.head,), (offset,))

    def continues(self, record: MarketRecord) -> bool:
        """Whether a record brings nothing new but its rows."""
        head = record.head
        return (
            head.epoch == self.epoch
            and head.session == self.session
            and head.provenance is self.provenance
            and head.instrument == self.instrument
            and not (head.epoch == 0 and opens_epoch(record))
        )

    def admit(self, record: MarketRecord, offset: int) -> bool:
        """Whether a record counts, after the session, epoch and provenance that it brings have been taken over."""
        if NO_OFFSET < offset <= self.offset:
            return False
        if self.continues(record):
            return True
        head = record.head
        if head.instrument != self.instrument:
            raise ValueError(f"a record of {head.instrument} for the engine of {self.instrument}")
        epoch = max(offset, self.epoch) if opens_epoch(record) else head.epoch
        if epoch < self.epoch:
            self._state["counters"][0, Counter.OLD_EPOCH] += 1
            return False
        if head.session != self.session:
            self._state = new_state(self.spec)
            self.session = head.session
            self.provenance = head.provenance
        self.provenance = min(self.provenance, head.provenance)
        self.epoch = epoch
        return True

    def run(
        self,
        rows: Rows,
        ends: NDArray[np.int64],
        received: NDArray[np.int64],
        heads: Sequence[RecordHead],
        offsets: Sequence[int],
    ) -> list[FeatureVector]:
        """Read admitted records whose rows lie one after the other, record i up to row `ends[i]`."""
        plain = rows.view(ROW_DTYPE)
        vectors: list[FeatureVector] = []
        at, n = process(self._state, plain, 0, ends, received, self._out)
        if n:
            vectors.extend(self._vectors(n, heads, offsets))
        while at < len(plain):
            at, n = process(self._state, plain, at, ends, received, self._out)
            vectors.extend(self._vectors(n, heads, offsets))
        self.offset = max(self.offset, offsets[-1])
        return vectors

    def skip_to(self, offset: int) -> None:
        """Say that the log up to this offset holds nothing more for this instrument."""
        self.offset = max(self.offset, offset)

    def snapshot(self) -> bytes:
        """Everything that a later `restore` needs to go on as if nothing had happened; changes nothing."""
        head = json.dumps(
            {
                "version": SNAPSHOT_VERSION,
                "layout": LAYOUT,
                "spec": self._spec_hash,
                "instrument": self.instrument,
                "session": self.session,
                "epoch": self.epoch,
                "offset": self.offset,
                "provenance": int(self.provenance),
            },
            sort_keys=True,
        ).encode()
        return _MAGIC + len(head).to_bytes(4, "little") + head + zlib.compress(self._state.tobytes(), 1)

    @classmethod
    def restore(cls, spec: FeatureSpec, instrument: str, snapshot: bytes) -> FeatureEngine:
        """The engine that `snapshot` came from. Raises `SnapshotMismatch` that says what differs."""
        head, state = _open(snapshot)
        engine = cls(spec, instrument)
        expected = {
            "version": SNAPSHOT_VERSION,
            "layout": LAYOUT,
            "spec": engine._spec_hash,
            "instrument": instrument,
        }
        for name, value in expected.items():
            if head.get(name) != value:
                raise SnapshotMismatch(f"snapshot has {name} {head.get(name)!r}, the engine {value!r}")
        if len(state) != STATE_DTYPE.itemsize:
            raise SnapshotMismatch(f"snapshot holds {len(state)} bytes of state, expected {STATE_DTYPE.itemsize}")
        engine.session = str(head["session"])
        engine.epoch, engine.offset = int(head["epoch"]), int(head["offset"])
        engine.provenance = Provenance(int(head["provenance"]))
        engine._state = np.frombuffer(state, dtype=STATE_DTYPE).copy()
        return engine

    def _vectors(self, n: int, heads: Sequence[RecordHead], offsets: Sequence[int]) -> list[FeatureVector]:
        out = self._out[:n].copy()  # the buffer is written again by the next call
        values, reasons = out["values"][:, self._columns], out["reasons"][:, self._columns]
        last_prices, quotes, ages = out["last_price"].tolist(), out["quote"].tolist(), out["ages"].tolist()
        records, crossings = out["record"].tolist(), out["crossing_time"].tolist()
        vectors = []
        for i, as_of in enumerate(out["as_of"].tolist()):
            head = heads[records[i]]
            bid, bid_size, ask, ask_size = quotes[i]
            vectors.append(
                FeatureVector(
                    id=vector_id(self.session, self.instrument, as_of, EmissionReason.BOUNDARY, 0, self._spec_hash),
                    instrument=self.instrument,
                    session=self.session,
                    as_of=as_of,
                    reason=EmissionReason.BOUNDARY,
                    ordinal=0,
                    spec_hash=self._spec_hash,
                    values=values[i],
                    reasons=reasons[i],
                    provenance=self.provenance,
                    received_time=head.received_time,
                    known_at=max(crossings[i], head.received_time),
                    clock=head.clock,
                    quote=None if math.isnan(bid) else Quote(bid, bid_size, ask, ask_size),
                    last_price=None if math.isnan(last_prices[i]) else last_prices[i],
                    channel_age={channel: ages[i][channel] for channel in _CHANNELS if ages[i][channel] >= 0},
                    input_offset=offsets[records[i]],
                    input_epoch=self.epoch,
                    emission_interval=self.spec.emission_interval,
                )
            )
        return vectors


def opens_epoch(record: MarketRecord) -> bool:
    """Whether this is the opening gap of an ingester, which cannot know its epoch: that is its own offset."""
    if record.head.epoch != 0 or len(record.rows) == 0:
        return False
    first = record.rows[0]
    return bool(first["kind"] == RowKind.GAP and first["side"] == Channel.ALL)


def kernel_columns(spec: FeatureSpec) -> NDArray[np.intp] | slice:
    """Where the spec's features lie in the kernels' output. Raises `ViewMismatch` for what they do not compute."""
    place = {(feature.name, feature.formula_version): index for index, feature in enumerate(CATALOGUE)}
    missing = [
        f"{f.name} version {f.formula_version}" for f in spec.features if (f.name, f.formula_version) not in place
    ]
    if missing:
        raise ViewMismatch(f"the kernels do not compute {', '.join(missing)}")
    columns = [place[feature.name, feature.formula_version] for feature in spec.features]
    return slice(None) if columns == list(range(N_FEATURES)) else np.array(columns, dtype=np.intp)


def _open(snapshot: bytes) -> tuple[dict[str, Any], bytes]:
    if not snapshot.startswith(_MAGIC) or len(snapshot) < len(_MAGIC) + 4:
        raise SnapshotMismatch("these bytes are no snapshot of a feature engine")
    start = len(_MAGIC) + 4
    length = int.from_bytes(snapshot[len(_MAGIC) : start], "little")
    try:
        head = json.loads(snapshot[start : start + length])
        return head, zlib.decompress(snapshot[start + length :])
    except (ValueError, zlib.error) as error:
        raise SnapshotMismatch(f"damaged snapshot: {error}") from error


def compile_kernels(spec: FeatureSpec) -> None:
    """Run the kernels once through a real call: without a cache that takes 10 s, for which no event may wait."""
    rows = np.zeros(2, dtype=EVENT_DTYPE)
    rows["kind"] = RowKind.TICK
    rows["event_time"] = (0, 2 * spec.emission_interval + LATENESS_NS)
    head = RecordHead("none", "none", 1, 0, Provenance.SIMULATED, int(rows["event_time"][1]), WALL_CLOCK)
    FeatureEngine(spec, "none").update(MarketRecord(head, rows), 0)
