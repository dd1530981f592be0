"""`Motion` and the rotations that readers of motion capture share."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.formats.motion import Motion, axis_rotation


def test_rotations_turn_one_axis_to_the_next() -> None:
    x, y, z = np.eye(3)
    for axis, start, end in (("x", y, z), ("y", z, x), ("z", x, y)):
        np.testing.assert_allclose(axis_rotation(axis, np.array(90.0)) @ start, end, atol=1e-15)
    np.testing.assert_allclose(axis_rotation("y", np.array([0.0, 360.0])), [np.eye(3)] * 2, atol=1e-15)


def test_joints_are_picked_by_name(rng: np.random.Generator) -> None:
    motion = Motion(("a", "b", "c"), (-1, 0, 0), rng.normal(size=(4, 3, 3)), 30.0, "walk")
    assert len(motion) == 4
    np.testing.assert_array_equal(motion.pick(["c", "a"]), motion.positions_mm[:, [2, 0]])
    with pytest.raises(SkeletonError, match="'walk' has no joint 'd'; it has a, b, c"):
        motion.pick(["a", "d"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"positions_mm": np.zeros((4, 2, 3))}, "positions"),
        ({"parents": (-1, 0)}, "parents"),
        ({"parents": (-1, 2, 0)}, "after its parent"),
        ({"joints": ("a", "b", "a")}, "names of their own"),
        ({"fps": 0.0}, "positive"),
        ({"fps": float("nan")}, "positive"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict, said: str) -> None:
    good = {"joints": ("a", "b", "c"), "parents": (-1, 0, 1), "positions_mm": np.zeros((4, 3, 3)), "fps": 30.0}
    with pytest.raises(ShapeError, match=said):
        Motion(**{**good, **change})
