"""Masks, heat and pixel classes: the system's targets, joints that compete, masks, peaks, decoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vitruvian.codecs import PixelsCodec
from vitruvian.codecs.pixels import peaks_of
from vitruvian.data.pixel_targets import center_pixels, class_values, heatmap, joint_heatmaps, nearest_labels
from vitruvian.errors import ShapeError
from vitruvian.skeletons import BODY25
from vitruvian.types import Outputs, Targets

SIZE_WH = (48, 64)


@pytest.fixture
def points(rng: np.random.Generator) -> np.ndarray:
    """(2, 25, 2) anywhere, close together; one missing, one outside, two in one pixel, one at a border."""
    points = rng.uniform(-0.4, np.array(SIZE_WH) - 0.6, (2, 25, 2)).astype(np.float32)
    points[0, 3], points[0, 5], points[0, 9] = np.nan, (60, 5), (SIZE_WH[0] - 0.6, -0.4)
    points[1, 11], points[1, 12] = (10.1, 10.1), (10.3, 10.9)
    return points


def _floored(points: np.ndarray) -> np.ndarray:
    return np.maximum(np.floor(points), 0).astype(np.float64)


def _visible(points: np.ndarray) -> np.ndarray:
    return np.full(points.shape[:2], 2, np.int8)


def test_floored_targets_are_the_systems(points: np.ndarray) -> None:
    """What the codec makes of a batch is what the factory writes into files, image by image."""
    whole = _floored(points)
    made = {
        kind: PixelsCodec(SIZE_WH, heads=("classes", "heat"), classes=kind, joints_at="floor")
        for kind in ("discs", "points", "values", "shares")
    }
    found = {kind: codec.encode(points, _visible(points)).arrays for kind, codec in made.items()}
    each = PixelsCodec(SIZE_WH, heads=("heat",), heat="each", joints_at="floor").encode(points, _visible(points))
    hot = lambda labels: labels[None] == np.arange(26)[:, None, None]  # noqa: E731
    for b in range(2):
        labels, heat = nearest_labels(whole[b], SIZE_WH), heatmap(whole[b], SIZE_WH)
        np.testing.assert_array_equal(found["discs"]["classes"][b], hot(labels))
        np.testing.assert_array_equal(found["points"]["classes"][b], hot(center_pixels(whole[b], SIZE_WH)))
        for kind in ("values", "shares"):
            expected = class_values(labels, heat, 25, rest=kind == "shares")
            np.testing.assert_allclose(found[kind]["classes"][b], expected, atol=1e-5)
        np.testing.assert_allclose(found["discs"]["heat"][b, 0], 100 * heat, atol=1e-3)
        np.testing.assert_allclose(each.arrays["heat"][b], 100 * joint_heatmaps(whole[b], SIZE_WH), atol=1e-3)


@pytest.mark.parametrize("joints_at", ["exact", "floor"])
@pytest.mark.parametrize("classes", ["discs", "points", "values", "shares"])
def test_torch_makes_the_same(points: np.ndarray, joints_at: str, classes: str) -> None:
    """The conformance suite holds this for the default alone."""
    torch = pytest.importorskip("torch")
    codec = PixelsCodec(SIZE_WH, heads=("heat", "classes"), classes=classes, joints_at=joints_at)
    numpy = codec.encode(points, _visible(points))
    tensors = codec.encode_torch(torch.from_numpy(points), torch.full(points.shape[:2], 2))
    np.testing.assert_array_equal(tensors.weights.numpy(), numpy.weights)
    for name, array in numpy.arrays.items():
        np.testing.assert_allclose(tensors.arrays[name].numpy(), array, rtol=1e-4, atol=1e-5)


def test_exact_positions_decode_closer_than_floored_ones(rng: np.random.Generator) -> None:
    """On average half a pixel on each axis is what the system's floor costs."""
    points = rng.uniform(8, [40, 56], (400, 1, 2)).astype(np.float32)  # a mean of fractions, uniform on 0..1
    shift = {}
    for joints_at in ("exact", "floor"):
        codec = PixelsCodec(SIZE_WH, joints_at=joints_at)
        logits = np.log(np.maximum(codec.encode(points, _visible(points)).arrays["classes"], 1e-30))
        found, scores = codec.decode(Outputs({"classes": logits}))
        assert scores.min() > 0.99
        shift[joints_at] = np.abs((found - points).mean(axis=(0, 1)))
    spread = np.sqrt(1 / 12 / 400)  # 60 points and a limit of 0.15 would fail once in 10,000 times
    assert (shift["exact"] < 7 * spread).all()
    assert (np.abs(shift["floor"] - 0.5) < 7 * spread).all()


def test_argmax_takes_the_first_of_a_flat_disc_and_the_centroid_its_middle() -> None:
    points = np.array([[[20.0, 30.0]]], np.float32)
    logits = np.log(np.maximum(PixelsCodec(SIZE_WH).encode(points, _visible(points)).arrays["classes"], 1e-30))
    first, _ = PixelsCodec(SIZE_WH, refine="argmax").decode(Outputs({"classes": logits}))
    middle, _ = PixelsCodec(SIZE_WH).decode(Outputs({"classes": logits}))
    np.testing.assert_allclose(first, [[[19, 28]]])  # of the three pixels of the disc's top row
    np.testing.assert_allclose(middle, points, atol=1e-5)


def test_weights_say_which_joints_are_painted(points: np.ndarray) -> None:
    visibility = _visible(points)
    visibility[1, 4] = 0
    weights = PixelsCodec(SIZE_WH).encode(points, visibility).weights
    assert [tuple(i) for i in np.argwhere(weights == 0)] == [(0, 3), (0, 5), (1, 4)]


def test_of_two_joints_at_one_place_the_first_has_the_pixels() -> None:
    points = np.array([[[20.0, 30.0], [20.0, 30.0]]], np.float32)
    arrays = PixelsCodec(SIZE_WH).encode(points, _visible(points)).arrays["classes"][0]
    assert arrays[1].sum() > 0
    assert arrays[2].sum() == 0


def test_masks_come_in_beside_joints(points: np.ndarray, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    codec = PixelsCodec(SIZE_WH, stride=4, heads=("mask", "classes"))
    masks = (rng.random((2, 64, 48)) < 0.3).astype(np.uint8) * 255
    targets = codec.add_mask(codec.encode(points, _visible(points)), masks)
    assert {k: v.shape[1:] for k, v in targets.arrays.items()} == codec.shapes(25)
    assert list(targets.arrays) == ["mask", "classes"]
    np.testing.assert_allclose(targets.arrays["mask"].sum(axis=1), 1, atol=1e-6)
    assert targets.arrays["mask"][1, 1, 2, 3] == pytest.approx((masks[1, 8:12, 12:16] > 0).mean())
    empty = Targets({"classes": torch.zeros(2, 26, 16, 12)}, torch.zeros(2, 25))
    tensors = codec.add_mask(empty, torch.from_numpy(masks))
    np.testing.assert_allclose(tensors.arrays["mask"].numpy(), targets.arrays["mask"], atol=1e-7)
    logits = rng.normal(size=(2, 2, 16, 12)).astype(np.float32)
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(codec.mask(Outputs({"mask": logits})), expected, rtol=1e-5)
    np.testing.assert_allclose(codec.mask(Outputs({"mask": torch.from_numpy(logits)})), expected, rtol=1e-5)
    for given, known in ((masks, np.array([False, True])), (torch.from_numpy(masks), torch.tensor([False, True]))):
        some = codec.add_mask(empty, given, known).arrays["mask"]
        assert not some[0].any()
        np.testing.assert_allclose(some[1], targets.arrays["mask"][1], atol=1e-7)
    with pytest.raises(ShapeError, match=r"must be \(B, 64, 48\)"):
        codec.add_mask(empty, torch.zeros(2, 16, 12))
    with pytest.raises(ShapeError, match="no mask"):
        PixelsCodec(SIZE_WH).mask(Outputs({}))


def test_flipping_leaves_the_background_in_front(rng: np.random.Generator) -> None:
    codec = PixelsCodec(SIZE_WH, heads=("mask", "heat", "classes"))
    arrays: dict[str, Any] = {k: rng.normal(size=(1, *s)).astype(np.float32) for k, s in codec.shapes(25).items()}
    flipped = codec.flip(Outputs(arrays), BODY25).arrays
    for name in ("mask", "heat"):
        np.testing.assert_array_equal(flipped[name], arrays[name][..., ::-1])
    np.testing.assert_array_equal(flipped["classes"][:, 0], arrays["classes"][:, 0, :, ::-1])
    left, right = 1 + BODY25.index("left_knee"), 1 + BODY25.index("right_knee")
    np.testing.assert_array_equal(flipped["classes"][:, left], arrays["classes"][:, right, :, ::-1])


def test_joints_without_names_are_peaks() -> None:
    joints = np.array([[5.0, 6.0], [20, 30], [40, 50]])
    codec = PixelsCodec(SIZE_WH, heads=("mask", "heat"))
    heat = codec.encode(joints[None].astype(np.float32), np.full((1, 3), 2)).arrays["heat"][0, 0]
    found, heights = peaks_of(heat, least=20)
    np.testing.assert_array_equal(found[np.argsort(found[:, 0])], joints)
    np.testing.assert_allclose(heights, 100, rtol=1e-5)
    plateau = np.zeros((5, 5))
    plateau[2, 2:4], plateau[0, 0] = 7, 1
    np.testing.assert_array_equal(peaks_of(plateau, least=2)[0], [[2, 2]])
    assert not codec.finds_joints
    with pytest.raises(ShapeError, match="name no joints"):
        codec.decode(Outputs({"heat": heat[None, None]}))


@pytest.mark.parametrize(
    "options",
    [
        {"heads": ()}, {"heads": ("mask", "mask")}, {"heads": ("nose",)}, {"heads": "mask"}, {"classes": "blobs"},
        {"heat": "some"}, {"joints_at": "round"}, {"refine": "dark"}, {"sigma": 0.0}, {"sigma": float("nan")},
        {"peak": 0.0}, {"threshold": -1.0}, {"stride": 0}, {"stride": 5}, {"size_wh": (48, 0)},
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ShapeError):
        PixelsCodec(**{"size_wh": SIZE_WH, **options})
