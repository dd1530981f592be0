"""`RandomGeometry`: what it draws, and that a sample's joints follow its picture."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.data import PoseDataset
from vitruvian.errors import VitruvianError
from vitruvian.geometry import Affine, boxes
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import COCO17, H36M17, LSP14, Skeleton
from vitruvian.transforms import RandomGeometry
from vitruvian.types import Person, Record

_SIZE = (96, 128)
_CENTRE = np.array([47.5, 63.5])
_NOTHING = {
    "rotation_deg": 0.0,
    "rotation_prob": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "flip_prob": 0.0,
    "half_body_prob": 0.0,
}


def test_nothing_asked_is_nothing_done(rng: np.random.Generator) -> None:
    geometry = RandomGeometry(**_NOTHING)
    for _ in range(20):
        change, flipped = geometry.sample(rng, _SIZE)
        np.testing.assert_allclose(change.matrix, np.eye(2, 3), atol=1e-12)
        assert change.is_axis_aligned
        assert not flipped
    box, points = np.array([1.0, 2, 30, 40]), np.full((17, 2), 5.0)
    assert geometry.pick_box(rng, box, points, COCO17) is box
    change, flipped = RandomGeometry(**(_NOTHING | {"flip_prob": 1.0})).sample(rng, _SIZE)
    assert flipped
    np.testing.assert_allclose(change.matrix, Affine.flip_horizontal(96).matrix, atol=1e-12)


def test_draws_stay_in_their_bounds_and_fill_them(rng: np.random.Generator) -> None:
    geometry = RandomGeometry(rotation_deg=30, rotation_prob=0.6, scale=0.5, shift=0.1, flip_prob=0.3)
    factors, angles, shifts, flips = [], [], [], []
    for _ in range(800):
        change, flipped = geometry.sample(rng, _SIZE)
        assert (change.determinant < 0) == flipped
        if flipped:
            change = Affine.flip_horizontal(96) @ change
        factors.append(np.sqrt(change.determinant))
        angles.append(np.rad2deg(np.arctan2(change.matrix[1, 0], change.matrix[0, 0])))
        shifts.append((change.apply(_CENTRE) - _CENTRE) / _SIZE)  # turning and scaling are about the centre
        flips.append(flipped)
        linear = change.matrix[:, :2] / factors[-1]
        np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-9)  # no shear
    logs, turned = np.log(factors) / np.log(1.5), np.abs(np.array(angles)) > 1e-9
    # Each share and mean is 6 standard deviations wide.
    assert np.mean(flips) == pytest.approx(0.3, abs=6 * np.sqrt(0.21 / 800))
    assert turned.mean() == pytest.approx(0.6, abs=6 * np.sqrt(0.24 / 800))
    for values, limit in (
        (logs, 1.0),
        (np.array(angles)[turned] / 30, 1.0),
        (np.array(shifts)[:, 0] / 0.1, 1.0),
        (np.array(shifts)[:, 1] / 0.1, 1.0),
    ):
        assert np.abs(values).max() <= limit + 1e-9
        assert np.abs(values).max() > 0.9
        assert np.mean(values) == pytest.approx(0, abs=6 / np.sqrt(3 * len(values)))  # uniform on +-1
        assert np.mean(values**2) == pytest.approx(1 / 3, abs=6 * np.sqrt(4 / 45 / len(values)))


def test_the_same_seed_draws_the_same() -> None:
    geometry = RandomGeometry(half_body_prob=0.5)
    first, second = (geometry.sample(np.random.default_rng(7), _SIZE) for _ in range(2))
    assert first == second
    assert first != geometry.sample(np.random.default_rng(8), _SIZE)


def _standing(skeleton: Skeleton) -> np.ndarray:
    """(K, 2) head above shoulders above hips above feet, left on the right."""
    heights = {"ankle": 90, "knee": 70, "hip": 50, "pelvis": 50, "spine": 40, "wrist": 46, "elbow": 36, "shoulder": 22}
    heights |= {"thorax": 20, "neck": 20, "nose": 10, "eye": 8, "ear": 9, "head_top": 2, "toe": 93, "heel": 92}
    side = [{"left": 30.0, "right": 10.0}.get(joint.split("_")[0], 20.0) for joint in skeleton.joints]
    return np.array(
        [[x, next(h for p, h in heights.items() if p in j)] for x, j in zip(side, skeleton.joints, strict=True)]
    )


@pytest.mark.parametrize("skeleton", [COCO17, LSP14, H36M17])
def test_half_bodies_are_the_upper_or_the_lower_half(skeleton: Skeleton, rng: np.random.Generator) -> None:
    geometry = RandomGeometry(half_body_prob=1.0)
    points, whole = _standing(skeleton), np.array([0.0, 0, 40, 100])
    seen = set()
    for _ in range(40):
        box = geometry.pick_box(rng, whole, points, skeleton)
        inside = {
            j for j, p in zip(skeleton.joints, points, strict=True) if (box[:2] <= p).all() and (p <= box[2:]).all()
        }
        if "left_ankle" in inside:
            seen.add("lower")
            assert {"left_knee", "right_knee", "left_hip", "right_hip", "right_ankle"} <= inside
            assert not {"nose", "head_top", "left_shoulder"} & inside
        else:
            seen.add("upper")
            assert {"left_shoulder", "right_shoulder", "left_wrist", "right_elbow"} <= inside
            assert not {"left_knee", "right_ankle"} & inside
    assert seen == {"upper", "lower"}


def test_half_bodies_need_enough_joints(rng: np.random.Generator) -> None:
    geometry, whole = RandomGeometry(half_body_prob=1.0), np.array([0.0, 0, 40, 100])
    points = _standing(COCO17)
    points[9:] = np.nan  # face, shoulders and elbows: nine labelled, none below
    picked = [geometry.pick_box(rng, whole, points, COCO17) for _ in range(40)]
    assert {tuple(box) == tuple(whole) for box in picked} == {True, False}
    assert all(tuple(box) == tuple(whole) or box[3] < 50 for box in picked)
    points[8] = np.nan
    assert all(geometry.pick_box(rng, whole, points, COCO17) is whole for _ in range(10))


@pytest.mark.parametrize(
    "options",
    [
        {"flip_prob": 50},
        {"flip_prob": -0.1},
        {"rotation_prob": 1.01},
        {"half_body_prob": float("nan")},
        {"scale": -0.5},
        {"shift": float("nan")},
        {"rotation_deg": -1},
        {"rotation_deg": float("inf")},
    ],
)
def test_impossible_amounts_are_refused(options: dict) -> None:
    with pytest.raises(VitruvianError, match=next(iter(options))):
        RandomGeometry(**options)


def _dotted(skeleton: Skeleton, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo with one dot of its own colour at each joint -> image, points (K, 2), colours (K, 3)."""
    count = len(skeleton)
    colours = np.stack([np.linspace(60, 250, count), np.linspace(250, 60, count), np.full(count, 120)], axis=1).astype(
        np.uint8
    )
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)[:count]
    points = 40 + 22 * grid + rng.integers(-3, 4, (count, 2))
    image = np.zeros((170, 170, 3), np.uint8)
    for (x, y), colour in zip(points, colours, strict=True):
        image[y - 4 : y + 5, x - 4 : x + 5] = colour
    return image, points.astype(np.float64), colours


@pytest.mark.parametrize("skeleton", [COCO17, LSP14])
def test_joints_follow_the_picture_flipped_or_not(skeleton: Skeleton, rng: np.random.Generator) -> None:
    """At a sample's left wrist lies the dot of the left wrist, or of the right one where the photo was mirrored.

    (In a mirrored photo the person's right arm looks like a left one, and is to be called that.)
    """
    image, points, colours = _dotted(skeleton, rng)
    person = Person(points, np.full(len(skeleton), 2), box_xyxy=boxes.around_points(points, 0.05))
    record = Record(None, "dots", (170, 170), skeleton, (person,))
    geometry = RandomGeometry(rotation_deg=180, rotation_prob=0.7, scale=0.2, shift=0.03)
    dataset = PoseDataset(
        [record],
        skeleton,
        Preprocess(size_wh=(192, 192)),
        geometry,
        seed=int(rng.integers(1 << 30)),
        decode=lambda _: image,
    )
    seen, checked = set(), 0
    for epoch in range(30):
        sample = dataset.sample(0, epoch)
        seen.add(sample.flipped)
        assert (sample.frame_to_input.determinant < 0) == sample.flipped
        source = skeleton.flip if sample.flipped else np.arange(len(skeleton))
        np.testing.assert_allclose(sample.keypoints_px, sample.frame_to_input.apply(points[source]), atol=1e-3)
        for k, (x, y) in enumerate(np.round(sample.keypoints_px).astype(int)):
            if 1 <= x < 191 and 1 <= y < 191:
                checked += 1
                assert np.abs(sample.image[y, x].astype(int) - colours[source[k]]).max() <= 2, skeleton.joints[k]
    assert seen == {False, True}
    assert checked > 100
