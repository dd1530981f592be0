"""Kinematics against closed forms; bone lengths and mirror symmetry for random poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.skeletons import VITRUVIAN19
from vitruvian.synth.bodies import ACTIONS, ARMS, LEGS, SEGMENTS, Body, Pose, pose_body, rotation

REST = (0.0, 0.0, 0.0, 0.0)
STILL = Pose("standing", 0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (REST, REST), (REST, REST))
BODY = Body(dict(SEGMENTS), 1.0)


def test_rotation_is_right_handed() -> None:
    for axis in range(3):
        before, after = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        np.testing.assert_allclose(rotation(axis, 90) @ before, after, atol=1e-12)


def test_a_person_at_rest_stands_upright_facing_the_viewer() -> None:
    points = pose_body(BODY, STILL).points
    s = SEGMENTS
    np.testing.assert_allclose(points["left_knee"], (s["hip"], -s["thigh"], 0), atol=1e-12)
    np.testing.assert_allclose(points["right_ankle"], (-s["hip"], -s["thigh"] - s["shin"], 0), atol=1e-12)
    np.testing.assert_allclose(
        points["left_wrist"], (s["shoulder"], s["trunk"] - s["upper_arm"] - s["forearm"], 0), atol=1e-12
    )
    assert points["nose"][2] > points["head"][2] > points["left_ear"][2]
    # All of it is one body height, give or take the shoes.
    height = points["head_top"][1] - points["left_heel"][1]
    assert 0.96 <= height <= 1.02


@pytest.mark.parametrize(
    ("angles", "elbow", "wrist"),
    [
        ((90.0, 0.0, 0.0, 0.0), (0, 0, 1), (0, 0, 1)),  # flexion lifts the arm forwards
        ((0.0, 90.0, 0.0, 0.0), (1, 0, 0), (1, 0, 0)),  # abduction lifts it outwards
        ((0.0, 0.0, 0.0, 90.0), (0, -1, 0), (0, 0, 1)),  # the elbow bends forwards
        ((0.0, 0.0, 90.0, 90.0), (0, -1, 0), (-1, 0, 0)),  # an inward twist turns the forearm across the belly
        ((0.0, 90.0, -90.0, 90.0), (1, 0, 0), (0, 1, 0)),  # hands up
    ],
)
def test_arm_angles(angles: tuple, elbow: tuple, wrist: tuple) -> None:
    points = pose_body(BODY, replace(STILL, arms=(angles, angles))).points
    for side, mirror in (("left", 1), ("right", -1)):
        upper = points[f"{side}_elbow"] - points[f"{side}_shoulder"]
        lower = points[f"{side}_wrist"] - points[f"{side}_elbow"]
        np.testing.assert_allclose(upper, SEGMENTS["upper_arm"] * np.array(elbow) * (mirror, 1, 1), atol=1e-12)
        np.testing.assert_allclose(lower, SEGMENTS["forearm"] * np.array(wrist) * (mirror, 1, 1), atol=1e-12)


def test_knees_bend_backwards_and_sitting_thighs_point_forwards() -> None:
    points = pose_body(BODY, replace(STILL, legs=((90.0, 0.0, 0.0, 90.0), (0.0, 0.0, 0.0, 90.0)))).points
    np.testing.assert_allclose(points["left_knee"] - points["left_hip"], (0, 0, SEGMENTS["thigh"]), atol=1e-12)
    np.testing.assert_allclose(points["left_ankle"] - points["left_knee"], (0, -SEGMENTS["shin"], 0), atol=1e-12)
    np.testing.assert_allclose(points["right_ankle"] - points["right_knee"], (0, 0, -SEGMENTS["shin"]), atol=1e-12)


def test_turning_round_negates_left_and_depth(rng: np.random.Generator) -> None:
    body, pose = Body.sample(rng), replace(Pose.sample(rng), pitch=0.0, roll=0.0, yaw=0.0)
    front, back = pose_body(body, pose).points, pose_body(body, replace(pose, yaw=180.0)).points
    for name, point in front.items():
        np.testing.assert_allclose(back[name], point * (-1, 1, -1), atol=1e-12)


def test_exchanging_limbs_and_signs_mirrors_the_body(rng: np.random.Generator) -> None:
    body, pose = Body.sample(rng), Pose.sample(rng)
    mirrored = replace(
        pose,
        yaw=-pose.yaw,
        roll=-pose.roll,
        spine=(pose.spine[0], -pose.spine[1], -pose.spine[2]),
        head=(pose.head[0], -pose.head[1], -pose.head[2]),
        arms=pose.arms[::-1],
        legs=pose.legs[::-1],
    )
    one, other = pose_body(body, pose).points, pose_body(body, mirrored).points
    flip = VITRUVIAN19.flip
    here = np.array([one[name] for name in VITRUVIAN19.joints])
    there = np.array([other[name] for name in VITRUVIAN19.joints])
    np.testing.assert_allclose(there[flip], here * (-1, 1, 1), atol=1e-12)


def test_bones_keep_their_length_in_every_pose(rng: np.random.Generator) -> None:
    bones = {
        "upper_arm": ("shoulder", "elbow"),
        "forearm": ("elbow", "wrist"),
        "thigh": ("hip", "knee"),
        "shin": ("knee", "ankle"),
    }
    for _ in range(50):
        body = Body.sample(rng)
        points = pose_body(body, Pose.sample(rng)).points
        for bone, (a, b) in bones.items():
            for side in ("left", "right"):
                length = np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"])
                assert length == pytest.approx(body.lengths[bone])
                assert 0.8 * SEGMENTS[bone] <= length <= 1.07 * SEGMENTS[bone]
        assert np.linalg.norm(points["left_hip"] - points["right_hip"]) == pytest.approx(2 * body.lengths["hip"])
        shoulders = np.linalg.norm(points["left_shoulder"] - points["right_shoulder"])
        assert 1.5 * body.lengths["shoulder"] <= shoulders <= 2.05 * body.lengths["shoulder"]


def test_ranges_are_anatomical_and_actions_name_known_limbs() -> None:
    for table, most in ((ARMS, 140), (LEGS, 130)):
        for name, limb in table.items():
            assert all(low <= high for low, high in limb), name
            assert limb[3][0] >= 0, f"{name} bends the wrong way"
            assert limb[3][1] <= most, name
    for action in ACTIONS.values():
        assert all(leg in LEGS for pair in action.legs for leg in pair)
        assert all(arm in ARMS for pair in action.arms for arm in pair)
    used = {
        limb for action in ACTIONS.values() for pairs in (action.legs, action.arms) for pair in pairs for limb in pair
    }
    assert used == ARMS.keys() | LEGS.keys()


def test_sampled_angles_lie_in_the_ranges_of_their_action(rng: np.random.Generator) -> None:
    for _ in range(100):
        pose = Pose.sample(rng)
        orders = [order for pair in ACTIONS[pose.action].legs for order in (pair, pair[::-1])]
        fits = [
            all(low <= angle <= high for name, leg in zip(order, pose.legs, strict=True)
                for (low, high), angle in zip(LEGS[name], leg, strict=True))
            for order in orders
        ]  # fmt: skip
        assert any(fits), pose
        assert -180 <= pose.yaw < 180
