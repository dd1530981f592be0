"""The conventions of lifting: sizes by hand, invariances of the input, joints by name."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.skeletons import BODY25, COCO17, H36M17, LSP14, VITRUVIAN19, Skeleton
from vitruvian.transforms.lifting import (
    INPUT_JOINTS,
    STANDARD_MM,
    body_size_mm,
    from_skeleton,
    input_joints,
    lifter_inputs,
    standard_size,
)


def _standing() -> np.ndarray:
    """(17, 3) somebody upright: trunk 250 + 250 + 100 + 200, thighs 400, shins 380 and 420."""
    joints = np.zeros((17, 3))
    at = lambda name: joints[H36M17.index(name)]  # noqa: E731
    for name, height in (("spine", 250), ("thorax", 500), ("neck_base", 600), ("head_top", 800)):
        at(name)[1] = height
    for side, x, shin in (("left", 100, 380), ("right", -100, 420)):
        for name, y in (("hip", 0), ("knee", -400), ("ankle", -400 - shin)):
            at(f"{side}_{name}")[:] = (x, y, 0)
        for name, out in (("shoulder", 200), ("elbow", 450), ("wrist", 700)):
            at(f"{side}_{name}")[:] = (np.sign(x) * out, 470, 0)
    return joints


def test_size_by_hand() -> None:
    assert body_size_mm(_standing()) == 800 + 400 + 400
    sized = standard_size(_standing()[None] * 0.5 + 77.0)
    np.testing.assert_allclose(sized[0], _standing() * STANDARD_MM / 1600, atol=1e-9)


def test_size_does_not_depend_on_place_or_direction(rng: np.random.Generator) -> None:
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved = _standing() @ rotation.T + rng.normal(0, 1000, 3)
    assert body_size_mm(moved) == pytest.approx(1600)
    np.testing.assert_allclose(body_size_mm(np.stack([moved, 2 * moved])), [1600, 3200])


def test_the_neck_is_half_way_and_the_others_are_themselves() -> None:
    joints = input_joints(_standing())
    assert joints[INPUT_JOINTS.index("neck")].tolist() == [0, 550, 0]
    for name in set(INPUT_JOINTS.joints) - {"neck"}:
        np.testing.assert_array_equal(joints[INPUT_JOINTS.index(name)], _standing()[H36M17.index(name)])


def test_inputs_forget_place_and_scale(rng: np.random.Generator) -> None:
    points, scores = rng.normal(size=(5, 14, 2)), rng.uniform(0.1, 1, (5, 14))
    points[1, 3] = np.nan
    scores[2, :4] = 0
    inputs = lifter_inputs(points, scores)
    np.testing.assert_allclose(lifter_inputs(points * 37 + np.array([500, -20]), scores), inputs, atol=1e-5)
    for i, present in enumerate(np.isfinite(points).all(2) & (scores > 0)):
        assert np.abs(inputs[i, present, :2].mean(0)).max() < 1e-6
        assert (inputs[i, present, :2] ** 2).sum() / present.sum() == pytest.approx(1, abs=1e-5)
        assert not inputs[i, ~present].any()
        np.testing.assert_allclose(inputs[i, present, 2], scores[i, present], rtol=1e-6)


def test_inputs_of_nobody_and_of_one_point() -> None:
    points = np.full((2, 14, 2), np.nan)
    points[1, 5] = (3, 4)
    inputs = lifter_inputs(points, np.ones((2, 14)))
    assert not inputs[0].any()
    assert inputs[1].sum() == 1  # its score; it is in its own middle


@pytest.mark.parametrize("skeleton", [COCO17, LSP14, VITRUVIAN19, BODY25], ids=lambda s: s.name)
def test_joints_go_by_name(skeleton: Skeleton, rng: np.random.Generator) -> None:
    points, scores = rng.normal(size=(3, len(skeleton), 2)), rng.random((3, len(skeleton)))
    found, found_scores = from_skeleton(points, scores, skeleton)
    for k, name in enumerate(INPUT_JOINTS.joints):
        if name in skeleton.joints:
            np.testing.assert_array_equal(found[:, k], points[:, skeleton.index(name)])
            np.testing.assert_array_equal(found_scores[:, k], scores[:, skeleton.index(name)])
        else:
            assert np.isnan(found[:, k]).all()
            assert not found_scores[:, k].any()
    assert np.isfinite(found).all(2).sum(1).min() >= 12


def test_refusals() -> None:
    short = Skeleton("short", ("neck", "head_top"), (), (0.1, 0.1))
    with pytest.raises(ShapeError, match="at least 6"):
        from_skeleton(np.zeros((1, 2, 2)), np.ones((1, 2)), short)
    with pytest.raises(ShapeError, match="got"):
        from_skeleton(np.zeros((1, 5, 2)), np.ones((1, 5)), COCO17)
    with pytest.raises(ShapeError, match="14"):
        lifter_inputs(np.zeros((1, 17, 2)), np.ones((1, 17)))
    for function in (body_size_mm, standard_size, input_joints):
        with pytest.raises(ShapeError, match="17"):
            function(np.zeros((2, 14, 3)))
