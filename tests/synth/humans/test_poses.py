"""Poses from files, against the directions that the files hold."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import FormatError, ShapeError
from vitruvian.formats.asf_amc import read_asf_amc
from vitruvian.skeletons import H36M17
from vitruvian.synth.humans import landmarks, poses
from vitruvian.synth.humans import rotations as rot
from vitruvian.synth.humans.body import skin
from vitruvian.synth.humans.poses import AT, POSED
from vitruvian.synth.humans.retarget import CMU_JOINTS, read_motion, retarget
from vitruvian.synth.humans.sources import Recorded


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def places(body, turns) -> dict[str, np.ndarray]:
    vertices, heads = body.rest(np.eye(len(body))[0])
    transforms = body.transforms(heads, poses.global_rotations(body, turns))
    bones = np.einsum("bij,bj->bi", transforms[..., :3], heads) + transforms[..., 3]
    found = landmarks.locate(body, bones, skin(transforms, body.weights, vertices))
    return dict(zip(landmarks.NAMES, found, strict=True))


def random_pose(rng) -> np.ndarray:
    return rot.from_vector(rng.normal(0, 0.5, (len(POSED), 3)))


def test_the_mirror_image_of_a_pose_is_the_mirrored_body(body, rng):
    turns = random_pose(rng)
    once, mirrored = places(body, turns), places(body, poses.mirrored(turns))
    root = body.heads[0, 0] * 0.1
    for name, place in once.items():
        other = {"left": "right", "righ": "left"}.get(name[:4])
        partner = name if other is None else other + name[name.index("_") :]
        np.testing.assert_allclose((place - root) * (-1, 1, 1), mirrored[partner] - root, atol=1e-2)
    np.testing.assert_allclose(poses.mirrored(poses.mirrored(turns)), turns)


LIMBS = [f"{bone}.{side}" for side in "LR" for bone in ("upperarm01", "lowerarm01", "upperleg01", "lowerleg01")]


def test_a_banks_limbs_point_where_its_own_skeleton_points(body, rng, write_bank, tmp_path):
    quaternions = unit(rng.normal(size=(6, len(POSED), 4)))
    quaternions[:, [AT["spine01"], AT["head"]]] = (0, 0, 0, 1)  # a neck that is not twisted off
    source, directions = np.array([0, 0, 1, 1, 2, 2]), rng.normal(size=(3, 8, 3))
    bank = poses.read_poses(write_bank(tmp_path / "bank.npz", quaternions, source, directions), body)
    assert len(bank) == 6
    rests = poses.rest_directions(body)
    for i, limb in enumerate(LIMBS):
        z_up = np.einsum("nij,nj->ni", rot.from_quaternion(quaternions[:, AT[limb]]), unit(directions)[source, i])
        y_up = z_up[:, [0, 2, 1]] * (1, 1, -1)
        found = np.einsum("nij,j->ni", bank.rotations[:, AT[limb]], rests[limb])
        np.testing.assert_allclose(found, y_up, atol=2e-3)


def test_heads_twisted_off_are_left_out(body, write_bank, tmp_path):
    quaternions = np.tile([0.0, 0, 0, 1], (2, len(POSED), 1))
    quaternions[1, AT["head"]] = (1, 0, 0, 0)  # upside down
    bank = poses.read_bank(write_bank(tmp_path / "b.npz", quaternions, np.array([0, 0]), np.ones((1, 8, 3))), body)
    assert len(bank) == 1


def test_the_real_bank_agrees_with_the_recording_it_is_from(body, shared_data):
    mocap = shared_data / "mocap"
    bank = poses.read_bank(mocap / "cmu_bone_rotations.npz", body)
    mine = bank.rotations[bank.take == bank.names.index("02_01.amc")]
    motion = read_asf_amc(mocap / "raw" / "02.asf", mocap / "raw" / "02_01.amc")
    rests = poses.rest_directions(body)
    angles = []
    for limb, start, end in (
        ("upperleg01.L", "left_hip", "left_knee"),
        ("lowerleg01.R", "right_knee", "right_ankle"),
        ("upperarm01.R", "right_shoulder", "right_elbow"),
        ("lowerarm01.L", "left_elbow", "left_wrist"),
    ):
        true = unit(np.subtract(*(motion.pick([CMU_JOINTS[j]])[:, 0] for j in (end, start))))
        found = np.einsum("nij,j->ni", mine[:, AT[limb]], rests[limb])
        angles.append(np.degrees(np.arccos(np.clip(found @ true.T, -1, 1))))
    # The bank has every 24th frame from the 13th on.
    worst = np.max(angles, axis=0)
    assert worst[np.arange(len(mine)), 12 + 24 * np.arange(len(mine))].max() < 0.5


def test_captured_limbs_and_posed_limbs_are_parallel(body, rng):
    turns = np.stack([random_pose(rng) for _ in range(4)])
    turns[:, [AT["spine01"], AT["root"]]] = np.eye(3)
    found = [places(body, t) for t in turns]
    joints = np.array([[f[name] for name in H36M17.joints] for f in found])
    again = [places(body, t) for t in retarget(joints, body)]
    for before, after in zip(found, again, strict=True):
        for side in ("left", "right"):
            for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
                ways = [p[f"{side}_{end}"] - p[f"{side}_{start}"] for p in (before, after)]
                np.testing.assert_allclose(unit(ways[0]), unit(ways[1]), atol=1e-3)


def test_the_same_walk_from_both_formats_walks(body, shared_data):
    raw = shared_data / "mocap" / "raw"
    for name in ("02_03.amc", "cc_002_03.bvh"):
        found = read_motion(raw / name, body)
        assert len(found) > 4
        for turns in found.rotations:
            up = places(body, turns)
            assert up["head_top"][1] > up["pelvis"][1] + 400
            assert up["left_ankle"][1] < up["pelvis"][1] - 300


def test_other_files_and_skeletons_are_refused(body, tmp_path):
    (tmp_path / "x.txt").write_text("no")
    (tmp_path / "x.npz").write_bytes(b"no")
    (tmp_path / "x.bvh").write_text(
        "HIERARCHY\nROOT Blob\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n"
        "End Site\n{\nOFFSET 0 1 0\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n0 0 0\n"
    )
    for name, words in (("x.txt", "expected .npz"), ("x.npz", "npz"), ("x.bvh", "no joint for 'pelvis'")):
        with pytest.raises(FormatError, match=words):
            poses.read_poses(tmp_path / name, body)
    with pytest.raises(ShapeError):
        retarget(np.zeros((2, 5, 3)), body)


def test_draws_are_of_the_files_and_repeatable(rng):
    turns = np.stack([random_pose(rng) for _ in range(9)]).astype(np.float32)
    source = Recorded(poses.Poses3D(turns, np.array([0] * 7 + [1] * 2, np.int32), ("long", "short")))
    drawn = [source.draw(np.random.default_rng(i)) for i in range(200)]
    assert {name for _, name in drawn} == {"long", "short"}
    for pose, name in drawn[:20]:
        own = turns[:7] if name == "long" else turns[7:]
        assert np.abs(own - pose).max(axis=(1, 2, 3)).min() == 0
    np.testing.assert_array_equal(drawn[3][0], source.draw(np.random.default_rng(3))[0])


def test_joining_keeps_takes_apart(rng):
    one = poses.Poses3D(random_pose(rng)[None].astype(np.float32), np.zeros(1, np.int32), ("a",))
    both = poses.join([one, one])
    assert both.take.tolist() == [0, 1]
    assert len(both.of_takes([1])) == 1
    with pytest.raises(ShapeError):
        poses.join([])
