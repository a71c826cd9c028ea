"""Dataset: from frozen vectors to the rows that can be learnt, each with what followed it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from libs.bundle.digest import array_digest, sha256
from libs.trading.labels import LabelSpec, outcomes, uniqueness
from libs.wire.durable import write_durably
from pipelines.retrain.adapters.run_folder import MORE_DATA, RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.adapters.tables import Columns, pick, read_columns, write_columns

FEATURE = "f."
QUOTE_COLUMNS = ("instrument", "session", "as_of", "known_at", "bid", "ask")
OUTCOME_COLUMNS = (
    "entry_time", "label_end", "entry_bid", "entry_ask", "exit_bid", "exit_ask", "future_return",
)  # fmt: skip


def dataset(run: RunFolder, spec: LabelSpec) -> None:
    """Write the rows whose features are all ready and whose label is complete; the matrix is float32 in view order.

    Raises LabelRefused for a horizon under one bar, RunError when nothing is left.
    """
    frozen = read_facts(run.snapshot_facts, "snapshot")
    vectors = read_columns(run.snapshot_table, "snapshot")
    spec.check_horizon(int(frozen["bar_interval_ns"]))
    names = frozen["features"]
    features = np.stack([vectors[FEATURE + name] for name in names], axis=1).astype(np.float32)
    ready = vectors["ready"] & np.isfinite(features).all(axis=1)
    followed = _followed(vectors, spec)
    kept = np.flatnonzero(ready & followed["valid"] & np.isfinite(vectors["bid"]) & np.isfinite(vectors["ask"]))
    if not kept.size:
        raise RunError(
            f"no row can be learnt: {len(ready)} vectors, {int(ready.sum())} of them ready, "
            f"{int(followed['valid'].sum())} with prices over latency and horizon; {MORE_DATA}"
        )
    rows = pick({**vectors, **followed}, kept)
    columns = {name: rows[name] for name in (*QUOTE_COLUMNS, *OUTCOME_COLUMNS)}
    columns["weight"] = _weights(columns)
    matrix = np.ascontiguousarray(features[kept])
    write_columns(run.dataset_table, columns)
    write_durably(run.dataset_features, lambda file: np.save(file, matrix))
    write_facts(
        run.dataset_facts,
        {
            "digest": _digest(columns, matrix, spec),
            "rows": int(kept.size),
            "vectors": len(ready),
            "not_ready": int((~ready).sum()),
            "from_ns": int(columns["as_of"].min()),
            "to_ns": int(columns["label_end"].max()) + 1,
        },
    )


def _followed(vectors: Columns, spec: LabelSpec) -> Columns:
    """What followed each vector, looked up along the quotes of its own instrument and session only."""
    n = vectors["as_of"].size
    found: dict[str, NDArray[np.generic]] = {"valid": np.zeros(n, dtype=np.bool_)}
    for name in OUTCOME_COLUMNS:
        found[name] = np.zeros(n, dtype=np.int64) if name in ("entry_time", "label_end") else np.full(n, np.nan)
    for place in stretches(vectors):
        times, bid, ask = (vectors[name][place] for name in ("as_of", "bid", "ask"))
        out = outcomes(vectors["known_at"][place], times, bid, ask, spec)
        for name in ("valid", *OUTCOME_COLUMNS):
            found[name][place] = getattr(out, name)
    return found


def _weights(columns: Columns) -> NDArray[np.float64]:
    weights = np.zeros(columns["as_of"].size)
    for place in stretches(columns):
        weights[place] = uniqueness(columns["entry_time"][place], columns["label_end"][place])
    return weights


def stretches(columns: Columns) -> list[NDArray[np.intp]]:
    """The places of the rows of each instrument in each session, in time order."""
    keys = np.char.add(np.char.add(columns["instrument"], "|"), columns["session"])
    _, codes = np.unique(keys, return_inverse=True)
    order = np.lexsort((columns["as_of"], codes))
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    return [part for part in np.split(order, cuts) if part.size]


def _digest(columns: Columns, matrix: NDArray[np.float32], spec: LabelSpec) -> str:
    """SHA-256 over rows, outcomes and the label's definition: the same data and label give the same digest."""
    text = "|".join(f"{i}:{s}" for i, s in zip(columns["instrument"], columns["session"], strict=True))
    numbers = array_digest(matrix, *(columns[name] for name in sorted(columns) if columns[name].dtype.kind != "U"))
    return sha256(f"{spec}\n{numbers}\n{sha256(text.encode())}".encode())
