"""Result tables, and the writers that ``predict --format`` offers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.formats import RESULT_WRITERS
from vitruvian.formats.tables import COLUMNS, write_csv, write_parquet
from vitruvian.skeletons import COCO17
from vitruvian.types import Poses


@pytest.fixture
def poses(rng) -> list[Poses]:
    found = []
    for i in range(3):
        keypoints, scores = rng.uniform(0, 5000, (i, 17, 2)), rng.uniform(0, 1, (i, 17))
        if i:
            keypoints[0, 3], scores[0, 3] = np.nan, 0
        boxes = np.tile([0.5, 1, 5000, 5000], (i, 1))
        found.append(Poses(keypoints, scores, boxes, COCO17, (5000, 5000), rng.uniform(0, 1, i), Path(f"a, b/{i}.jpg")))
    return found


def test_csv_holds_every_float_exactly(tmp_path, poses):
    with open(write_csv(poses, tmp_path / "new" / "a.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [row for p in poses for row in p.to_rows()]
    assert len(rows) == len(expected) == 3 * 17
    for row, want in zip(rows, expected, strict=True):
        assert tuple(row) == COLUMNS == tuple(want)
        assert (row["image"], row["joint"], int(row["person"]), int(row["id"])) == (
            want["image"], want["joint"], want["person"], want["id"],
        )  # fmt: skip
        for name in ("x_px", "y_px", "score", "box_x0", "box_score"):
            if np.isnan(want[name]):
                assert row[name] == ""
            else:
                assert np.float32(row[name]) == np.float32(want[name])


def test_parquet_holds_the_same(tmp_path, poses):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_parquet(poses, tmp_path / "new" / "a.parquet"))
    assert tuple(table.column_names) == COLUMNS
    for row, want in zip(table.to_pylist(), (row for p in poses for row in p.to_rows()), strict=True):
        assert row == {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in want.items()}


def test_nobody_found_still_gives_the_columns(tmp_path, poses):
    assert write_csv(poses[:1], tmp_path / "a.csv").read_text() == ",".join(COLUMNS) + "\n"
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_parquet([], tmp_path / "a.parquet"))
    assert (tuple(table.column_names), table.num_rows) == (COLUMNS, 0)
    full = parquet.read_table(write_parquet(poses, tmp_path / "b.parquet"))
    assert table.schema.equals(full.schema)


@pytest.mark.parametrize("name", RESULT_WRITERS)
def test_every_result_writer_makes_its_folder_and_returns_whole_files(tmp_path, poses, name):
    folder = tmp_path / "a" / "b"
    files = RESULT_WRITERS[name](poses, folder)
    assert sorted(files) == sorted(folder.iterdir())
    assert all(f.stat().st_size > 0 for f in files)
    before = [f.read_bytes() for f in files]
    assert RESULT_WRITERS[name](poses, folder) == files
    assert [f.read_bytes() for f in files] == before


@pytest.mark.parametrize("name", RESULT_WRITERS)
def test_a_failing_writer_leaves_the_old_files_alone(tmp_path, poses, name, monkeypatch):
    files = RESULT_WRITERS[name](poses, tmp_path)
    before = [f.read_bytes() for f in files]

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("vitruvian.formats.writing.os.replace", broken)
    changed = [replace(p, scores=p.scores * 0.5) for p in poses]
    with pytest.raises(OSError, match="disk full"):
        RESULT_WRITERS[name](changed, tmp_path)
    assert [f.read_bytes() for f in files] == before
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_the_coco_file_names_every_image_apart(tmp_path, poses):
    twins = [replace(poses[1], path=Path(p)) for p in ("a/1.jpg", "b/1.jpg")]
    (file,) = RESULT_WRITERS["coco"](twins, tmp_path)
    assert [row["image_id"] for row in json.loads(file.read_text())] == ["a__1", "b__1"]


def test_presence_is_a_column_where_a_model_says_it(tmp_path, poses, rng):
    said = [replace(p, presence=rng.uniform(0, 1, p.scores.shape)) for p in poses]
    with open(write_csv([*said, poses[1]], tmp_path / "a.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    values = np.concatenate([p.presence.ravel() for p in said])
    np.testing.assert_array_equal(np.array([float(row["presence"]) for row in rows[:51]], np.float32), values)
    assert {row["presence"] for row in rows[51:]} == {""}
    parquet = pytest.importorskip("pyarrow.parquet")
    column = parquet.read_table(write_parquet([*said, poses[1]], tmp_path / "a.parquet"))["presence"].to_pylist()
    np.testing.assert_array_equal(np.array(column[:51], np.float32), values)
    assert column[51:] == [None] * 17
