"""Masks against pycocotools, the reference, on random masks and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as reference

from vitruvian.errors import ShapeError
from vitruvian.formats import rle

# pycocotools is behind numpy's protocol for copies.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Blobs, noise, and the extremes: empty, full, one pixel wide."""
    height, width = rng.integers(1, 80, 2)
    if rng.random() < 0.1:
        return np.full((height, width), rng.random() < 0.5)
    if rng.random() < 0.5:
        return rng.random((height, width)) < rng.random()
    y, x = np.mgrid[:height, :width]
    return np.hypot(x - rng.uniform(0, width), (y - rng.uniform(0, height)) * rng.uniform(0.3, 3)) < rng.uniform(1, 50)


def test_run_lengths_equal_the_reference(rng):
    for _ in range(300):
        mask = random_mask(rng)
        mine, theirs = rle.encode(mask), reference.encode(np.asfortranarray(mask, dtype=np.uint8))
        assert mine["size"] == list(theirs["size"])
        assert rle.compress(mine["counts"]) == theirs["counts"].decode()
        assert rle.decompress(theirs["counts"]) == mine["counts"]
        np.testing.assert_array_equal(rle.decode(mine), mask)
        np.testing.assert_array_equal(rle.decode(theirs), mask)


def test_packed_masks_read_like_the_array(rng):
    masks = np.stack([rng.random((20, 30)) < share for share in (0.0, 0.3, 1.0)])
    packed = rle.PackedMasks(masks)
    assert np.shape(packed) == masks.shape
    assert len(packed) == 3
    np.testing.assert_array_equal(np.stack(list(packed)), masks)
    assert rle.packed(packed) == rle.packed(masks)
    assert rle.packed(masks[1:])[0]["counts"] == rle.compress(rle.encode(masks[1])["counts"])


def test_packed_masks_are_picked_like_the_arrays(rng):
    masks = rng.random((5, 20, 30)) < 0.3
    packed = rle.PackedMasks(masks)
    for index in ([3, 1], np.array([0, 0, 4]), rng.random(5) < 0.5, slice(1, None, 2), [], np.zeros(5, bool)):
        picked = packed[index]
        assert isinstance(picked, rle.PackedMasks)
        assert np.shape(picked) == masks[index].shape
        assert rle.packed(picked) == rle.packed(masks[index])
    for number in (0, -1, np.int64(2)):
        np.testing.assert_array_equal(packed[number], masks[number])
    with pytest.raises(IndexError):
        packed[[5]]
    assert len(packed) == 5
    assert packed.shape == masks.shape


def test_long_runs_survive_the_string(rng):
    counts = rng.integers(0, 2**31, 200).tolist()
    assert rle.decompress(rle.compress(counts)) == counts


def test_polygons_equal_the_reference_pixel_by_pixel(rng):
    for i in range(300):
        width, height = (int(n) for n in rng.integers(1, 70, 2))
        corners = rng.uniform(-15, 85, (rng.integers(3, 10), 2))
        if i % 3 == 0:
            corners = np.round(corners * 2) / 2  # half pixels are where roundings differ
        if i % 5 == 0:
            corners[1] = corners[0]  # a side without length
        flat = corners.ravel().tolist()
        expected = reference.decode(reference.frPyObjects([flat], height, width))[..., 0]
        np.testing.assert_array_equal(
            rle.from_polygons([flat], (width, height)), expected, err_msg=repr((flat, width, height))
        )


def test_several_polygons_are_united(rng):
    polygons = [rng.uniform(-5, 60, 8).tolist() for _ in range(4)]
    united = reference.merge(reference.frPyObjects(polygons, 50, 40))
    np.testing.assert_array_equal(rle.to_mask(polygons, (40, 50)), reference.decode(united))


def test_a_square_covers_the_pixels_between_its_edges():
    mask = rle.from_polygons([[2, 1, 6, 1, 6, 4, 2, 4]], (10, 8))
    expected = np.zeros((8, 10), dtype=bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"size": [2, 3], "counts": [5]}, "add up to 2 x 3 = 6"),
        ({"size": [2, 3], "counts": [7, -1]}, "runs >= 0"),
        ({"size": [2, 3], "counts": ["a"]}, "whole numbers"),
        ({"size": [2], "counts": [2]}, "'size'"),
        ({"counts": [2]}, "'size'"),
        ({"size": [2, 3], "counts": "\x01"}, "character"),
        ({"size": [2, 3], "counts": "o"}, "cut off"),
    ],
)
def test_broken_run_lengths_say_why(bad, says):
    with pytest.raises(ShapeError, match=says):
        rle.decode(bad)


def test_other_misuse_says_why():
    with pytest.raises(ShapeError, match="three or more"):
        rle.from_polygons([[1, 2, 3, 4]], (5, 5))
    with pytest.raises(ShapeError, match="3 x 2, the image 4 x 2"):
        rle.to_mask({"size": [2, 3], "counts": [6]}, (4, 2))
    with pytest.raises(ShapeError, match="str"):
        rle.to_mask("abc", (4, 2))
    with pytest.raises(ShapeError, match="H, W"):
        rle.encode(np.zeros(4))
