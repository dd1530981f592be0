"""Atomic files and unique names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vitruvian.formats.writing import atomic_path, unique_names, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_text(tmp_path / "new" / "a.txt", "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_the_new_file_is_not_there_before_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_numpy_and_paths_and_refuses_nan(tmp_path):
    data = {"a": np.arange(3), "b": np.float32(0.5), "c": Path("x") / "y", "d": b"rle", "e": (1, 2)}
    path = write_json(tmp_path / "a.json", data)
    assert json.loads(path.read_text()) == {"a": [0, 1, 2], "b": 0.5, "c": "x/y", "d": "rle", "e": [1, 2]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError, match="object"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text())["b"] == 0.5


def test_names_are_stems_until_they_collide():
    assert unique_names([Path("x/1.jpg"), Path("x/2.jpg")]) == ["1", "2"]
    assert unique_names([Path("/p/a/1.jpg"), Path("/p/b/1.jpg"), Path("/p/b/2.jpg")]) == ["a__1", "b__1", "2"]
    assert unique_names([Path("1.jpg"), Path("1.png")]) == ["1.jpg", "1.png"]
    assert unique_names([None, Path("1.jpg"), None]) == ["image_000000", "1", "image_000002"]
    assert unique_names([Path("1.jpg"), Path("1.jpg")]) == ["1.jpg__000000", "1.jpg__000001"]
    assert unique_names([]) == []
    awkward = [Path("1.jpg"), Path("1.jpg"), Path("1.jpg__000000.x")]
    assert unique_names(awkward) == ["1.jpg__000000_", "1.jpg__000001", "1.jpg__000000"]


def test_names_are_unique_and_make_one_file_each_whatever_the_paths(rng):
    parts = ["a", "b", "..", "a__1", "1"]
    for _ in range(200):
        paths = []
        for _ in range(rng.integers(1, 12)):
            folders = rng.choice(parts, rng.integers(0, 3)).tolist()
            name = str(rng.choice(["1.jpg", "1.png", "2.jpg", "a__1.jpg", "image_000000.jpg", "1.jpg__000000.x"]))
            paths.append(None if rng.random() < 0.2 else Path(*(["/"] if rng.random() < 0.3 else []), *folders, name))
        names = unique_names(paths)
        assert len(set(names)) == len(names), (paths, names)
        assert all(name and "/" not in name for name in names)
