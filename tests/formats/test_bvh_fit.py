"""Positions to BVH: bones point where the joints are, lengths are kept, round trips through files, real walks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.formats.bvh import read_bvh, write_bvh
from vitruvian.formats.bvh_fit import bvh_from_motion, euler_zxy_deg, shortest_turns
from vitruvian.formats.mocap_npz import read_mocap_npz
from vitruvian.formats.motion import Motion, axis_rotation
from vitruvian.skeletons import H36M17

_PARENTS = (-1, *({b: a for a, b in H36M17.edges}[k] for k in range(1, len(H36M17))))


def _rigid(rng: np.random.Generator, joints: tuple[str, ...], parents: tuple[int, ...], frames: int = 6) -> Motion:
    """Bones of constant length in directions of their own in every frame."""
    positions = np.zeros((frames, len(joints), 3))
    positions[:, 0] = rng.normal(0, 500, (frames, 3))
    for k in range(1, len(joints)):
        direction = rng.normal(size=(frames, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        positions[:, k] = positions[:, parents[k]] + direction * rng.uniform(50, 400)
    return Motion(joints, parents, positions, 25.0, "wild")


@pytest.mark.parametrize("unit_mm", [1.0, 10.0])
def test_rigid_bodies_come_back_exactly(rng: np.random.Generator, tmp_path: Path, unit_mm: float) -> None:
    motion = _rigid(rng, H36M17.joints, _PARENTS)
    path = write_bvh(tmp_path / "wild.bvh", bvh_from_motion(motion, unit_mm), decimals=9)
    back = read_bvh(path, unit_mm=unit_mm)
    np.testing.assert_allclose(back.pick(motion.joints), motion.positions_mm, atol=2e-3)
    assert back.fps == pytest.approx(25)


def test_any_tree_comes_back(rng: np.random.Generator) -> None:
    """Joints in no particular order, several bones from one joint, the first frame as the rest pose."""
    count = int(rng.integers(2, 12))
    parents = (-1, *(int(rng.integers(0, k)) for k in range(1, count)))
    motion = _rigid(rng, tuple(f"j{k}" for k in range(count)), parents)
    clip = bvh_from_motion(motion)
    np.testing.assert_allclose(clip.motion().pick(motion.joints), motion.positions_mm, atol=1e-6)


def test_bones_that_change_length_get_their_median() -> None:
    motion = Motion(("a", "b"), (-1, 0), np.array([[[0, 0, 0], [0, n, 0]] for n in (90.0, 100.0, 130.0)]), 10.0)
    assert bvh_from_motion(motion).motion().pick(["b"])[:, 0].tolist() == [[0, 100, 0]] * 3


def test_a_t_pose_is_the_rest_pose_of_h36m17() -> None:
    """A take that stands in it, facing z, has no rotation at all."""
    from vitruvian.formats.bvh_fit import _T_POSE

    positions = np.zeros((2, 17, 3))
    for k in range(1, 17):
        positions[:, k] = positions[:, _PARENTS[k]] + 100.0 * np.array(_T_POSE[H36M17.joints[k]])
    clip = bvh_from_motion(Motion(H36M17.joints, _PARENTS, positions, 30.0))
    assert np.abs(clip.values).max() < 1e-9
    assert positions[0, H36M17.index("left_wrist"), 0] > 0  # facing z with y up, the left is where x is positive


def test_turns_are_the_shortest(rng: np.random.Generator) -> None:
    start, ends = rng.normal(size=3), rng.normal(size=(20, 3))
    turns = shortest_turns(start, ends)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-9)
    directions = ends / np.linalg.norm(ends, axis=1, keepdims=True)
    first = start / np.linalg.norm(start)
    np.testing.assert_allclose(turns @ first, directions, atol=1e-9)
    # the angle of a rotation, from its trace, is the angle between the two directions
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    np.testing.assert_allclose(angle, np.arccos(np.clip(directions @ first, -1, 1)), atol=1e-6)


def test_turns_to_nowhere_and_to_the_opposite() -> None:
    turns = shortest_turns(np.array([0, 2.0, 0]), np.array([[0, 0, 0], [0, -3.0, 0], [0, 1.0, 0]]))
    np.testing.assert_allclose(turns[0], np.eye(3))
    np.testing.assert_allclose(turns[1] @ [0, 1, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(turns[2], np.eye(3))


def test_angles_make_the_rotation_again(rng: np.random.Generator) -> None:
    degrees = rng.uniform(-180, 180, (30, 3))
    degrees[:3, 1] = (90, -90, 90)  # z and y about one axis
    rotations = (
        axis_rotation("z", degrees[:, 0]) @ axis_rotation("x", degrees[:, 1]) @ axis_rotation("y", degrees[:, 2])
    )
    z, x, y = euler_zxy_deg(rotations).T
    np.testing.assert_allclose(
        axis_rotation("z", z) @ axis_rotation("x", x) @ axis_rotation("y", y), rotations, atol=1e-6
    )


def test_angles_do_not_jump() -> None:
    turning = axis_rotation("z", np.arange(0, 720, 30.0))
    np.testing.assert_allclose(np.diff(euler_zxy_deg(turning)[:, 0]), 30, atol=1e-6)


@pytest.mark.parametrize("what", ["two roots", "no frame", "a gap", "unit"])
def test_what_cannot_be_written_is_refused(what: str) -> None:
    parents, positions, unit = (-1, 0), np.zeros((2, 2, 3)), 10.0
    if what == "two roots":
        parents = (-1, -1)
    elif what == "no frame":
        positions = np.zeros((0, 2, 3))
    elif what == "a gap":
        positions[1, 1] = np.nan
    else:
        unit = 0.0
    with pytest.raises(ShapeError, match="one root"):
        bvh_from_motion(Motion(("a", "b"), parents, positions, 10.0), unit)


def test_a_real_take(shared_data: Path) -> None:
    """CMU's joints were rounded to whole millimetres, and their hips and shoulders move a little against the spine."""
    take = next(t for t in read_mocap_npz(shared_data / "mocap" / "cmu_h36m17_15fps.npz") if t.name == "02_05")
    back = bvh_from_motion(take).motion().pick(take.joints)
    errors = np.linalg.norm(back - take.positions_mm, axis=2)
    assert errors.mean() < 5
    assert errors.max() < 40
