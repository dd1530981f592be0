"""Lengths of known people, and which one a chain picks."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.metrics.people import align
from vitruvian.metrics.scales import SCALES, TORSO_FALLBACK, box_side_px, head_box_px, measure, torso_px
from vitruvian.skeletons import COCO17, LSP14, MPII16


def _with(skeleton, **joints):
    keypoints = np.full((len(skeleton), 2), np.nan)
    for joint, xy in joints.items():
        keypoints[skeleton.index(joint)] = xy
    return keypoints


def test_torso_is_the_diagonal_from_left_shoulder_to_right_hip() -> None:
    whole = _with(LSP14, left_shoulder=(30, 10), right_hip=(0, 50), right_shoulder=(0, 10), left_hip=(30, 51))
    half = _with(LSP14, right_shoulder=(0, 10), left_hip=(30, 50))
    flat = _with(LSP14, left_shoulder=(5, 5), right_hip=(5, 5))
    np.testing.assert_array_equal(torso_px(LSP14, np.stack([whole, half, flat])), [50, np.nan, np.nan])


def test_boxes() -> None:
    np.testing.assert_allclose(
        head_box_px(np.array([[10, 10, 40, 50], [np.nan] * 4, [3, 3, 3, 3]])), [30, np.nan, np.nan]
    )
    np.testing.assert_allclose(box_side_px(np.array([[0, 0, 30, 20], [0, 0, 3, 20]])), [30, 20])


def test_every_length_grows_with_the_person(make_record, make_poses, rng) -> None:
    keypoints = rng.uniform(0, 100, (3, 17, 2))
    box = np.array([0.0, 0.0, 40.0, 70.0])
    s = rng.uniform(1.5, 4)
    for name, scale in SCALES.items():
        skeleton = MPII16 if name == "head_segment" else COCO17
        xy = keypoints[:, : len(skeleton)]
        people = [
            align(
                [make_record(skeleton, xy * f, box_xyxy=[box * f] * 3, head_box_xyxy=[box * f / 4] * 3)],
                [make_poses(skeleton, xy)],
            )
            for f in (1, s)
        ]
        small, large = (scale(p) for p in people)
        assert np.isfinite(small).all()
        np.testing.assert_allclose(large, small * s, rtol=1e-9)


def test_a_chain_takes_the_first_that_can_be_measured(make_record, make_poses) -> None:
    rows = [
        _with(MPII16, left_shoulder=(0, 0), right_hip=(3, 4), neck=(0, 0), head_top=(0, 9)),
        _with(MPII16, neck=(0, 0), head_top=(0, 9), left_hip=(0, 0), right_hip=(7, 0)),
        _with(MPII16, left_hip=(0, 0), right_hip=(7, 0)),
        _with(MPII16, left_knee=(1, 1)),
    ]
    people = align([make_record(MPII16, rows)], [make_poses(MPII16, np.zeros((4, 16, 2)))])
    lengths, used = measure(people, TORSO_FALLBACK)  # MPII has no ears: that name is passed over
    np.testing.assert_array_equal(lengths, [5, 9, 7, np.nan])
    assert used == ["torso", "head_segment", "hip_width", None]
    lengths, used = measure(people, "torso")
    np.testing.assert_array_equal(lengths, [5, np.nan, np.nan, np.nan])
    assert used == ["torso", None, None, None]
    lengths, used = measure(people, np.array([1.0, np.nan, 0.0, 2.0]))
    np.testing.assert_array_equal(lengths, [1, np.nan, np.nan, 2])
    assert used == ["given", None, None, "given"]


def test_lengths_the_skeleton_cannot_give(make_record, make_poses) -> None:
    people = align([make_record(LSP14, np.ones((1, 14, 2)))], [make_poses(LSP14, np.ones((1, 14, 2)))])
    with pytest.raises(SkeletonError, match="left_ear"):
        measure(people, "ear_distance")
    with pytest.raises(SkeletonError, match="left_ear"):
        measure(people, ("ear_distance",))
    with pytest.raises(ShapeError, match="unknown scale"):
        measure(people, ())
    with pytest.raises(ShapeError, match=r"\(N, 14, 2\)"):
        torso_px(LSP14, np.ones((14, 2)))
