"""Columns to Parquet and back; one line of a table is one row of every column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from libs.wire.durable import write_durably
from pipelines.retrain.adapters.run_folder import RunError

Column = NDArray[Any]
Columns = Mapping[str, Column]


def write_columns(path: Path, columns: Columns) -> None:
    """Text columns are stored as dictionaries; numbers keep their type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pa.array(values.tolist()).dictionary_encode() if values.dtype.kind == "U" else pa.array(values)
        for name, values in columns.items()
    }
    table = pa.table(arrays)
    write_durably(path, lambda file: pq.write_table(table, file, compression="zstd"))


def read_columns(path: Path, step: str) -> dict[str, Column]:
    """Raises RunError that names the step to run first."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise RunError(f"{path.parent.name}/{path.name} is missing: run the step {step!r} first") from error
    return {name: _column(table.column(name)) for name in table.column_names}


def _column(column: pa.ChunkedArray) -> Column:
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        whole = column.combine_chunks()
        if not pa.types.is_dictionary(column.type):
            whole = whole.dictionary_encode()
        names = np.array(whole.dictionary.to_pylist(), dtype=np.str_)
        codes: Column = whole.indices.to_numpy(zero_copy_only=False)
        return names[codes] if names.size else np.zeros(0, dtype=np.str_)
    return np.ascontiguousarray(column.to_numpy())


def pick(columns: Columns, place: Column) -> dict[str, Column]:
    """The same columns at these places."""
    return {name: values[place] for name, values in columns.items()}
