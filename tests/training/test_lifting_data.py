"""Views of motion capture: the camera model against `Camera`, mirrors, bone lengths, randomness, ends of takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")

from vitruvian.errors import FormatError
from vitruvian.formats.mocap_npz import write_mocap_npz
from vitruvian.formats.motion import Motion
from vitruvian.geometry.cameras import Camera
from vitruvian.skeletons import H36M17
from vitruvian.training.lifting_data import CameraPool, LiftingBatches, Views, mirrored, read_takes, stretched
from vitruvian.training.lifting_noise import NoiseModel
from vitruvian.transforms.lifting import STANDARD_MM, body_size_mm, input_joints, lifter_inputs

_PARENTS = (-1, *({b: a for a, b in H36M17.edges}[k] for k in range(1, len(H36M17))))


def bodies(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 17, 3) random joints around 0, of the size of people."""
    joints = rng.normal(0, 250, (count, 17, 3))
    return joints - joints[:, :1]


def takes(rng: np.random.Generator, *lengths: int) -> list[Motion]:
    return [Motion(H36M17.joints, _PARENTS, bodies(rng, n), 15.0, f"take_{i}") for i, n in enumerate(lengths)]


def test_the_pool_projects_as_a_camera_does(rng: np.random.Generator) -> None:
    pool, joints = CameraPool(rng, Views(cameras=3)), bodies(rng, 4)
    plane, turned = pool.see(np.stack([joints] * 3), np.arange(3))
    for i in range(3):
        camera = Camera(np.array([800, 800]), np.array([320, 240]), pool.rotation[i], pool.position[i])
        np.testing.assert_allclose(plane[i] * 800 + [320, 240], camera.world_to_image(joints), atol=1e-6)
        absolute = camera.world_to_camera(joints)
        np.testing.assert_allclose(turned[i], absolute - absolute[:, :1], atol=1e-6)


def test_a_mirror_twice_is_none_and_keeps_lengths(rng: np.random.Generator) -> None:
    joints = bodies(rng, 5)
    np.testing.assert_array_equal(mirrored(mirrored(joints)), joints)
    np.testing.assert_allclose(body_size_mm(mirrored(joints)), body_size_mm(joints))
    left, right = H36M17.index("left_wrist"), H36M17.index("right_wrist")
    np.testing.assert_array_equal(mirrored(joints)[:, left], joints[:, right] * [-1, 1, 1])


def test_stretching_changes_lengths_alike_on_both_sides_and_no_direction(rng: np.random.Generator) -> None:
    joints = bodies(rng, 6)[:, None]
    factors = rng.uniform(0.8, 1.2, (6, 10))
    out = stretched(joints, factors)
    bones = joints[..., 1:, :] - joints[..., list(_PARENTS[1:]), :]
    changed = out[..., 1:, :] - out[..., list(_PARENTS[1:]), :]
    ratio = np.linalg.norm(changed, axis=-1) / np.linalg.norm(bones, axis=-1)
    np.testing.assert_allclose(changed, bones * ratio[..., None], atol=1e-9)
    np.testing.assert_allclose(ratio, ratio[..., H36M17.flip[1:] - 1])
    np.testing.assert_allclose(np.sort(np.unique(np.round(ratio[0], 9))), np.sort(np.round(factors[0], 9)))


def test_exact_views_show_the_joints_behind_them(rng: np.random.Generator) -> None:
    """Without noise, inputs are what the returned joints look like from far away."""
    views = Views(cameras=16, distance_mm=(1e7, 2e7), aside_mm=0.0, noisy=0.0, joint_missing=0.0)
    batches = LiftingBatches(takes(rng, 30), 1, 8, views, NoiseModel.load(), 0)
    inputs, joints = batches[0]
    assert inputs.shape == (8, 14, 3)
    assert joints.shape == (8, 17, 3)
    np.testing.assert_allclose(body_size_mm(joints), STANDARD_MM, rtol=1e-5)
    whole = (inputs[..., 2] == 1).all(1)
    assert whole.sum() >= 1
    expected = lifter_inputs(input_joints(joints[..., :2]), np.ones((8, 14)))
    np.testing.assert_allclose(inputs[whole], expected[whole], atol=1e-3)


def test_batches_depend_on_seed_epoch_and_index_alone(rng: np.random.Generator) -> None:
    chosen, noise = takes(rng, 20, 7), NoiseModel.load()
    make = lambda seed: LiftingBatches(chosen, 1, 8, Views(cameras=4), noise, seed)  # noqa: E731
    one, other = make(3), make(3)
    assert len(one) == 4
    one.epoch = 5
    _ = [one[i] for i in (2, 0)]
    other.epoch = 5
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)
    other.epoch = 6
    assert np.abs(other[1][0][:1] - one[1][0][:1]).max() > 0
    assert np.abs(make(4)[1][0][:1] - make(3)[1][0][:1]).max() > 0
    with pytest.raises(IndexError):
        one[4]


def test_an_epoch_has_every_pose_once(rng: np.random.Generator) -> None:
    """Told apart by the angle between the thighs, which no camera, mirror or bone length changes."""
    chosen = takes(rng, 9, 4)
    batches = LiftingBatches(chosen, 1, 5, Views(cameras=4), NoiseModel.load(), 1)
    seen = np.concatenate([batches[i][1] for i in range(len(batches))])
    whole = np.concatenate([take.positions_mm for take in chosen])
    np.testing.assert_allclose(np.sort(_angle(seen)), np.sort(_angle(whole)), atol=1e-4)


def test_rows_stay_within_their_take(rng: np.random.Generator) -> None:
    """27 poses for one result; each of the results belongs to a pose of one take, in order, the last one repeated."""
    chosen = takes(rng, 40, 3, 18)
    batches = LiftingBatches(chosen, 27, 64, Views(cameras=4), NoiseModel.load(), 2, extra=15)
    own = [_angle(take.positions_mm) for take in chosen]
    for epoch in range(3):
        batches.epoch = epoch
        for i in range(len(batches)):
            inputs, joints = batches[i]
            assert inputs.shape[1:] == (42, 14, 3)
            for row in _angle(joints):
                ends = [np.concatenate([angles, np.full(15, angles[-1])]) for angles in own]
                starts = [
                    (e, s) for e in ends for s in range(len(e) - 15) if np.allclose(row, e[s : s + 16], atol=1e-4)
                ]
                assert starts


def _angle(joints: np.ndarray) -> np.ndarray:
    at = lambda name: joints[..., H36M17.index(name), :]  # noqa: E731
    one, other = at("left_knee") - at("left_hip"), at("right_knee") - at("right_hip")
    dot = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    return np.arccos(np.clip(dot, -1, 1))


def test_takes_are_picked_by_pattern(rng: np.random.Generator, tmp_path: Path) -> None:
    path = str(write_mocap_npz(tmp_path / "m.npz", takes(rng, 4, 4, 4)))
    assert [t.name for t in read_takes(path, ["take_[12]", "*_1"])] == ["take_1", "take_2"]
    with pytest.raises(FormatError, match="no take matches 'walk"):
        read_takes(path, ["*", "walk*"])
