"""Results as tables with one row a joint: CSV, and Parquet with the extra ``tables``.

The columns are those of `Poses.to_rows`. A joint without a position has empty cells (CSV) or nulls (Parquet).
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import need
from ..types import Poses
from .writing import atomic_path

COLUMNS = (
    "image", "person", "id", "joint", "x_px", "y_px", "score", "present", "presence",
    "box_x0", "box_y0", "box_x1", "box_y1", "box_score",
)  # fmt: skip
_TEXT, _WHOLE, _TRUTH = ("image", "joint"), ("person", "id"), ("present",)


def write_csv(poses: Sequence[Poses], path: str | os.PathLike) -> Path:
    """Write all people of all images as one CSV file, atomically; numbers have the digits that float32 needs."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for found in poses:
            for row in found.to_rows():
                writer.writerow([_cell(row[name]) for name in COLUMNS])
    return Path(path)


def write_parquet(poses: Sequence[Poses], path: str | os.PathLike) -> Path:
    """Write all people of all images as one Parquet file, atomically; `MissingExtraError` without pyarrow."""
    arrow = need("pyarrow", "tables", "writing Parquet")
    parquet = need("pyarrow.parquet", "tables", "writing Parquet")
    kinds = {**dict.fromkeys(_TEXT, arrow.string()), **dict.fromkeys(_WHOLE, arrow.int64())}
    kinds |= dict.fromkeys(_TRUTH, arrow.bool_())
    schema = arrow.schema([(name, kinds.get(name, arrow.float32())) for name in COLUMNS])
    rows = [row for found in poses for row in found.to_rows()]
    columns = {name: [_or_null(row[name]) for row in rows] for name in COLUMNS}
    with atomic_path(path) as temporary:
        parquet.write_table(arrow.table(columns, schema=schema), os.fspath(temporary))
    return Path(path)


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if not isinstance(value, float):
        return int(value) if isinstance(value, bool) else value
    return "" if math.isnan(value) else str(np.float32(value))
