"""`MetricResult`: what every metric returns - one headline number, a table with a row a joint, and plain details.

Everything in a result is plain data as soon as it is built: numpy scalars become Python numbers, and what could not be
measured is ``None`` (``null`` in JSON), never NaN and never 0.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.writing import write_text


def plain(value: Any) -> Any:
    """The same value as JSON-ready Python data: arrays to lists, NaN and infinities to None, paths to strings."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


@dataclass(frozen=True, eq=False)
class MetricResult:
    """The outcome of one metric on one set of images.

    Attributes
    ----------
    name : what was measured, with its settings, e.g. ``"PCK@0.2 (torso, limbs12)"``.
    value : the headline number, or None when nothing could be measured (no labelled joint, no person).
    table : one dict a joint (for masks: one a size group) with at least ``value`` and ``count``, the number of joints
        or persons behind that value; ``value`` is None where ``count`` is 0.
    details : settings, other averages, and how many persons were left out and why.
    """

    name: str
    value: float | None
    table: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("value", "table", "details"):
            object.__setattr__(self, name, plain(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data with the keys name, value, table, details; safe for ``json.dumps(..., allow_nan=False)``."""
        return {"name": self.name, "value": self.value, "table": self.table, "details": self.details}

    def to_json(self, path: str | Path) -> Path:
        """Write `to_dict` as JSON (UTF-8, indented, ``null`` for what could not be measured); returns the path."""
        return write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    def to_text(self) -> str:
        """The headline and the table as aligned plain text, for terminals and logs."""
        lines = [f"{self.name}: {_cell(self.value)}"]
        if self.table:
            columns = list(dict.fromkeys(key for row in self.table for key in row))
            rows = [columns] + [[_cell(row.get(c)) for c in columns] for row in self.table]
            widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
            for row in rows:
                cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
                lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
