"""Drawn people in captured poses: each joint where the camera sees it, sides told apart, the same from one seed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.formats.mocap_npz import write_mocap_npz
from vitruvian.formats.motion import Motion
from vitruvian.geometry.cameras import Camera
from vitruvian.skeletons import H36M17, VITRUVIAN19
from vitruvian.synth.mocap import _scene, captured_person, figure_of, mocap_figures

# Standing upright, y up, facing z; left is x (the left of one who looks along z with y up).
_STANDING = np.array([
    [0, 900, 0], [-120, 880, 0], [-130, 480, 20], [-130, 80, 0], [120, 880, 0], [130, 480, 20], [130, 80, 0],
    [0, 1120, 0], [0, 1370, 0], [0, 1450, 20], [0, 1650, 20],
    [180, 1360, 0], [230, 1090, 0], [240, 850, 60], [-180, 1360, 0], [-230, 1090, 0], [-240, 850, 60],
], float)  # fmt: skip
_PARENTS = tuple(next((a for a, b in H36M17.edges if b == k), -1) for k in range(17))


@pytest.fixture
def takes(tmp_path: Path, rng: np.random.Generator) -> Path:
    motions = [
        Motion(H36M17.joints, _PARENTS, _STANDING + rng.normal(0, 25, (5, 17, 3)), 15.0, name)
        for name in ("02_03", "cc_002_04", "cc_007_01", "dance_salsa_01")
    ]
    return write_mocap_npz(tmp_path / "takes.npz", motions)


def test_every_joint_is_where_the_camera_sees_it(takes: Path) -> None:
    frames = mocap_figures(takes, 6, seed=1)
    for i in range(6):
        camera = frames.cameras[frames.camera[i]]
        np.testing.assert_allclose(camera.camera_to_image(frames.joints_mm[i]), frames.keypoints_px[i], atol=1e-6)
        drawn = _scene(frames.pictures[i].args[0]).figure  # type: ignore[union-attr]
        for joint in (
            "left_wrist",
            "right_wrist",
            "left_knee",
            "right_ankle",
            "left_shoulder",
            "right_hip",
            "head_top",
        ):
            found = drawn.keypoints_px[VITRUVIAN19.index(joint)]
            np.testing.assert_allclose(found, frames.keypoints_px[i, H36M17.index(joint)], atol=1e-6, err_msg=joint)
        inside = frames.mask(i)
        points = np.rint(frames.keypoints_px[i]).astype(int)
        on_person = [inside[y, x] for x, y in points]
        assert np.mean(on_person) > 0.8, "limbs lie under their joints"
        assert not inside[0].any() or not inside[-1].any(), "the person is not cut off on both sides"


def test_the_face_shows_to_whom_the_person_faces() -> None:
    """A camera in front, at z, sees the eyes and the left hand on its right; one behind sees neither eye."""
    for side, sign in ((1.0, 1.0), (-1.0, -1.0)):
        rotation = np.array([[side, 0, 0], [0, -1, 0], [0, 0, -side]], float)
        camera = Camera([500, 500], [100, 100], rotation, [0, 900, 4000 * side])
        seen = camera.world_to_camera(_STANDING)
        _, stance, _ = figure_of(seen, camera, 1.0)
        towards = stance.points["nose"][2] - stance.points["head"][2]
        assert np.sign(towards) == sign
        assert np.sign(stance.points["left_hand"][0] - stance.points["right_hand"][0]) == sign
        assert np.sign(stance.points["left_toe"][2] - stance.points["left_ankle"][2]) == sign
        for frame in (stance.pelvis, stance.chest, stance.head):
            np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-9)
            assert np.linalg.det(frame) == pytest.approx(1)


def test_the_same_seed_draws_the_same(takes: Path) -> None:
    a, b, longer = mocap_figures(takes, 3, seed=4), mocap_figures(takes, 3, seed=4), mocap_figures(takes, 5, seed=4)
    other = mocap_figures(takes, 3, seed=5)
    np.testing.assert_array_equal(a.joints_mm, b.joints_mm)
    np.testing.assert_array_equal(a.joints_mm, longer.joints_mm[:3])
    np.testing.assert_array_equal(a.picture(1), longer.picture(1))
    assert not np.array_equal(a.joints_mm, other.joints_mm)
    there = pickle.loads(pickle.dumps(a.pictures[2]))  # as a loader's worker gets it
    np.testing.assert_array_equal(there(), a.picture(2))
    bare = mocap_figures(takes, 3, seed=4, background=False)
    np.testing.assert_array_equal(bare.mask(0), a.mask(0))
    assert (bare.picture(0)[~bare.mask(0)] < 90).mean() > 0.99, "nothing but the rim beside the person"
    assert bare.picture(0).shape == (144, 144, 3)


def test_people_and_actions(takes: Path) -> None:
    assert [captured_person(name) for name in ("02_03", "cc_002_03", "cc_007_11", "train_data_bvh_salsa_01")] == [
        "02", "02", "07", "train_data_bvh_salsa",
    ]  # fmt: skip
    frames = mocap_figures(takes, 8, subjects=["02"])
    assert set(frames.subject) == {"02"}
    assert set(frames.action) <= {"02_03", "cc_002_04"}
    assert set(mocap_figures(takes, 8, actions=["dance", "cc_007"]).subject) <= {"dance_salsa", "07"}
    with pytest.raises(ShapeError, match="no take is both"):
        mocap_figures(takes, 3, subjects=["09"])
    for options in ({"count": 0}, {"count": 1, "seed": -1}, {"count": 1, "size_wh": (20, 90)}):
        with pytest.raises(ShapeError, match="expected count"):
            mocap_figures(takes, **options)
