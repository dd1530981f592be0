"""`Poses3D`: what it refuses, camera space, plain data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.skeletons import H36M17
from vitruvian.types3d import Poses3D


def _poses(rng: np.random.Generator, count: int = 3, **fields: object) -> Poses3D:
    joints = rng.normal(0, 300, (count, 17, 3))
    return Poses3D(joints, rng.random((count, 17)), H36M17, "root", "axes", "scale", **fields)  # type: ignore[arg-type]


def test_camera_space_adds_the_translation(rng: np.random.Generator) -> None:
    poses = _poses(rng, translation_mm=np.array([[0, 0, 3000], [1, 2, 3], [4, 5, 6]]))
    np.testing.assert_allclose(poses.camera_mm[1], poses.joints_mm[1] + [1, 2, 3], rtol=1e-6)
    picked = poses.select([2, 0])
    np.testing.assert_array_equal(picked.camera_mm, poses.camera_mm[[2, 0]])
    assert len(poses.select(1)) == 1
    with pytest.raises(ShapeError, match="without a camera"):
        _ = _poses(rng).camera_mm


def test_plain_data_has_null_for_who_was_not_lifted(rng: np.random.Generator) -> None:
    poses = _poses(rng, 2, translation_mm=np.ones((2, 3)), path=Path("a/b.jpg"), ids=np.array([7, 8]))
    joints = poses.joints_mm.copy()
    joints[1, 4] = np.nan
    poses = Poses3D(joints, poses.scores, H36M17, "r", "a", "s", poses.translation_mm, poses.path, poses.ids)
    assert poses.lifted.tolist() == [True, False]
    record = json.loads(json.dumps(poses.to_dict(), allow_nan=False))
    assert record["image"] == "a/b.jpg"
    assert [p["id"] for p in record["people"]] == [7, 8]
    assert record["people"][1]["joints_mm"] is None
    assert record["people"][1]["translation_mm"] is None
    np.testing.assert_allclose(record["people"][0]["joints_mm"], joints[0], atol=0.051)


@pytest.mark.parametrize("field", ["joints", "scores", "range", "translation_mm", "ids"])
def test_refusals(rng: np.random.Generator, field: str) -> None:
    joints, scores, extra = np.zeros((2, 17, 3)), np.ones((2, 17)), {}
    if field == "joints":
        joints = np.zeros((2, 16, 3))
    elif field == "scores":
        scores = np.ones((3, 17))
    elif field == "range":
        scores = scores * 1.5
    else:
        extra = {field: np.zeros((3, 3) if field == "translation_mm" else 3)}
    with pytest.raises(ShapeError):
        Poses3D(joints, scores, H36M17, "r", "a", "s", **extra)
