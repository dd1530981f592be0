"""A result is plain data: JSON without NaN, and a table that lines up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vitruvian.metrics.result import MetricResult


def _result() -> MetricResult:
    return MetricResult(
        name="PCK",
        value=np.float32(0.5),  # type: ignore[arg-type]
        table=[
            {"joint": "nose", "value": np.float64(0.25), "count": np.int64(4), "in_mean": np.True_},
            {"joint": "left_elbow", "value": float("nan"), "count": 0, "in_mean": False},
        ],
        details={
            "array": np.array([1.0, np.nan, np.inf]),
            "path": Path("a") / "b",
            "deep": {"t": (1, np.float32(2))},
            "none": None,
        },
    )


def test_everything_becomes_plain_data() -> None:
    result = _result()
    assert type(result.value) is float
    assert result.table[0] == {"joint": "nose", "value": 0.25, "count": 4, "in_mean": True}
    assert type(result.table[0]["count"]) is int
    assert type(result.table[0]["in_mean"]) is bool
    assert result.table[1]["value"] is None
    assert result.details == {
        "array": [1.0, None, None],
        "path": str(Path("a") / "b"),
        "deep": {"t": [1, 2.0]},
        "none": None,
    }
    assert MetricResult("x", float("nan")).value is None


def test_json_round_trip(tmp_path: Path) -> None:
    result = _result()
    path = result.to_json(tmp_path / "out.json")

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == result.to_dict()
    assert set(result.to_dict()) == {"name", "value", "table", "details"}


def test_text_lines_up() -> None:
    lines = _result().to_text().splitlines()
    assert lines[0] == "PCK: 0.5000"
    assert lines[1].split() == ["joint", "value", "count", "in_mean"]
    assert lines[2].split() == ["nose", "0.2500", "4", "yes"]
    assert lines[3].split() == ["left_elbow", "-", "0", "no"]
    assert len({len(line) for line in lines[1:]}) == 1  # right-aligned columns end together
    assert MetricResult("EPE", None).to_text() == "EPE: -"
