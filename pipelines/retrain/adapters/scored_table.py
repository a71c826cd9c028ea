"""Scored rows from the tables that training wrote (Parquet): out of fold, and the outer hold-out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from libs.trading.backtest import QuoteRows
from pipelines.retrain.gates.case import Scored

NEEDED = ("as_of", "known_at", "instrument", "session", "bid", "ask", "label", "label_end", "p_down", "p_flat", "p_up")
PLACE = "place_in_file"
MEMBER = re.compile(r"(?P<member>[a-z0-9_]+)_p_up")


N = TypeVar("N", np.int64, np.float64)


class TableError(Exception):
    """A table that cannot be judged; the message names file and column."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTable:
    """The rows in time order, and the place in the file of each: `rows[i]` is the file's row `order[i]`."""

    rows: Scored
    order: NDArray[np.int64]


def read_scored(path: Path) -> ScoredTable:
    """Rows sorted by as-of and instrument; a member's probabilities are the columns `<member>_p_down|flat|up`.

    Raises TableError for a missing column or rows that break a promise of `Scored` or `QuoteRows`.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path.name}: {error}") from error
    if missing := [name for name in NEEDED if name not in table.column_names]:
        raise TableError(f"{path.name}: missing {', '.join(missing)}")
    table = _plain_text(table).append_column(PLACE, pa.array(np.arange(table.num_rows)))
    table = table.sort_by([(name, "ascending") for name in ("as_of", "instrument", "session")])
    try:
        quotes = QuoteRows(
            as_of=_numbers(table, "as_of", np.int64),
            known_at=_numbers(table, "known_at", np.int64),
            instrument=_codes(table, "instrument"),
            session=_codes(table, "session"),
            bid=_numbers(table, "bid", np.float64),
            ask=_numbers(table, "ask", np.float64),
        )
        rows = Scored(
            quotes,
            _triple(table, "p"),
            {f"{m['member']}": _triple(table, f"{m['member']}_p") for m in _members(table)},
            _numbers(table, "label", np.int64),
            _numbers(table, "label_end", np.int64),
        )
        return ScoredTable(rows, _numbers(table, PLACE, np.int64))
    except (ValueError, KeyError) as error:
        raise TableError(f"{path.name}: {error}") from error


def _plain_text(table: pa.Table) -> pa.Table:
    """Instrument and session as plain text: a dictionary would be sorted by its codes."""
    for name in ("instrument", "session"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.string()))
    return table


def _members(table: pa.Table) -> list[re.Match[str]]:
    return [m for name in sorted(table.column_names) if (m := MEMBER.fullmatch(name)) is not None]


def _triple(table: pa.Table, prefix: str) -> NDArray[np.float64]:
    return np.stack([_numbers(table, f"{prefix}_{name}", np.float64) for name in ("down", "flat", "up")], axis=1)


def _numbers(table: pa.Table, name: str, kind: type[N]) -> NDArray[N]:
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"{name}: {column.null_count} rows without a value")
    return np.ascontiguousarray(column.to_numpy().astype(kind))


def _codes(table: pa.Table, name: str) -> NDArray[np.int64]:
    _, codes = np.unique(np.array(table.column(name).to_pylist(), dtype=str), return_inverse=True)
    return codes.astype(np.int64)
