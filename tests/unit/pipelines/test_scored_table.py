"""Tables of scored rows: read in time order with the place of each row, refused by name when they cannot be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.retrain.adapters.scored_table import TableError, read_scored

SECOND = 10**9


def columns() -> dict[str, Any]:
    """Four rows of two instruments, out of order."""
    p = {"down": [0.2, 0.3, 0.4, 0.1], "flat": [0.3] * 4, "up": [0.5, 0.4, 0.3, 0.6]}
    return {
        "as_of": [2 * SECOND, SECOND, 2 * SECOND, SECOND],
        "known_at": [2 * SECOND, SECOND, 2 * SECOND, SECOND],
        "instrument": ["b", "b", "a", "a"],
        "session": ["s"] * 4,
        "bid": [99.0, 98.0, 49.0, 48.0],
        "ask": [99.5, 98.5, 49.5, 48.5],
        "label": [0, 1, 2, 1],
        "label_end": [9 * SECOND] * 4,
        **{f"p_{name}": values for name, values in p.items()},
        **{f"lightgbm_p_{name}": values for name, values in p.items()},
    }


def written(tmp_path: Path, **changes: Any) -> Path:
    table = {name: pa.array(values) for name, values in {**columns(), **changes}.items()}
    for name in ("instrument", "session"):
        table[name] = table[name].dictionary_encode()
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_rows_come_in_time_order_with_their_places(tmp_path: Path) -> None:
    table = read_scored(written(tmp_path))
    assert table.order.tolist() == [3, 1, 2, 0]
    assert table.rows.quotes.bid.tolist() == [48.0, 98.0, 49.0, 99.0]
    assert table.rows.quotes.instrument.tolist() == [0, 1, 0, 1]
    assert table.rows.labels.tolist() == [1, 1, 2, 0]
    assert list(table.rows.members) == ["lightgbm"]
    assert np.allclose(table.rows.score, [0.5, 0.1, -0.1, 0.3])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": [0, 1, 2, None]}, "label: 1 rows without a value"),
        ({"label": [0, 1, 2, 3]}, "labels"),
        ({"label_end": [9 * SECOND, SECOND, 9 * SECOND, 9 * SECOND]}, "label_end"),
        ({"p_up": [0.5, 0.4, 0.3, 0.9]}, "ensemble: no probabilities"),
        ({"lightgbm_p_up": [0.5, 0.4, 0.3, float("nan")]}, "lightgbm: no probabilities"),
        ({"bid": [99.0, 98.0, 49.0, float("nan")]}, "no quote"),
        ({"instrument": ["b", "b", "b", "a"]}, "two rows at one as_of"),
        ({"known_at": [0] * 4}, "known before"),
    ],
)
def test_a_table_that_cannot_be_judged_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TableError, match=rf"rows\.parquet: .*{words}"):
        read_scored(written(tmp_path, **changes))


def test_no_table_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"rows\.parquet"):
        read_scored(tmp_path / "rows.parquet")
    with pytest.raises(TableError, match="no rows"):
        read_scored(_emptied(written(tmp_path)))


def _emptied(path: Path) -> Path:
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    return path
