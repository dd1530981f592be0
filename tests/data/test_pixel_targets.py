"""Target kinds of system 0 against scipy, brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitruvian.data.pixel_targets import (
    blur_matrix,
    blurred_impulses,
    center_pixels,
    class_values,
    heatmap,
    joint_heatmaps,
    nearest_labels,
)
from vitruvian.errors import ShapeError

SIZE_WH = (32, 48)


@pytest.fixture
def keypoints(rng: np.random.Generator) -> np.ndarray:
    """25 joints, two of them missing, one outside, two in the same pixel, one in a corner."""
    points = rng.uniform(0, np.array(SIZE_WH) - 1, (25, 2))
    points[3], points[7], points[9] = np.nan, (np.nan, 4), (40, 5)
    points[11], points[12] = (10, 10), (10.2, 9.8)
    points[20] = 0, 0
    return points


def _impulses(keypoints: np.ndarray) -> np.ndarray:
    matrix = np.zeros(SIZE_WH[::-1])
    for x, y in np.floor(keypoints + 0.5):
        if 0 <= x < SIZE_WH[0] and 0 <= y < SIZE_WH[1]:
            matrix[int(y), int(x)] = 1
    return matrix


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3, 9.0])
def test_the_filter_is_scipys(keypoints: np.ndarray, sigma: float) -> None:
    """At the border too, also where the filter is wider than half of the picture."""
    ndimage = pytest.importorskip("scipy.ndimage")
    expected = ndimage.gaussian_filter(_impulses(keypoints), sigma=sigma, mode="nearest")
    np.testing.assert_allclose(blurred_impulses(keypoints, SIZE_WH, sigma), expected, atol=1e-12)
    top = heatmap(keypoints, SIZE_WH, sigma, 100.0)
    np.testing.assert_allclose(top, expected / expected.max() * 100, atol=1e-9)


def test_a_lone_joint(rng: np.random.Generator) -> None:
    x, y = (int(rng.integers(5, side - 5)) for side in SIZE_WH)
    point = np.array([[np.nan, np.nan], [x, y]])
    blurred = blurred_impulses(point, SIZE_WH)
    assert blurred[y, x] == pytest.approx(1 / (2 * math.pi), rel=1e-4)
    assert blurred.sum() == pytest.approx(1)
    assert (center_pixels(point, SIZE_WH) > 0).sum() == 1
    assert center_pixels(point, SIZE_WH)[y, x] == 2
    # A disc of the radius at which the Gaussian is 0.01; without a threshold a square, since the filter ends.
    rows, columns = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    radius = math.sqrt(-2 * math.log(0.01 * 2 * math.pi))
    assert 2.3 < radius < 2.4
    disc = np.hypot(columns - x, rows - y) <= radius
    np.testing.assert_array_equal(nearest_labels(point, SIZE_WH), 2 * disc)
    square = (np.abs(columns - x) <= 4) & (np.abs(rows - y) <= 4)
    np.testing.assert_array_equal(nearest_labels(point, SIZE_WH, threshold=0.0), 2 * square)


def test_labels_are_the_nearest_joints(keypoints: np.ndarray) -> None:
    pixels = np.floor(keypoints + 0.5)
    blurred = blurred_impulses(keypoints, SIZE_WH)
    for threshold in (0.01, 0.0):
        labels = nearest_labels(keypoints, SIZE_WH, threshold=threshold)
        np.testing.assert_array_equal(labels > 0, blurred > threshold)
        for y, x in np.argwhere(labels > 0):
            distance = np.hypot(pixels[:, 0] - x, pixels[:, 1] - y)
            distance[[3, 7, 9]] = np.inf
            assert labels[y, x] == distance.argmin() + 1
    assert not {4, 8, 10, 13} & set(np.unique(labels))  # missing, outside, or in the pixel of the joint before it


def test_two_joints_in_one_pixel(keypoints: np.ndarray) -> None:
    centers = center_pixels(keypoints[:13], SIZE_WH)  # without those that may be drawn there too
    assert centers[10, 10] == 13  # the later one
    once = blurred_impulses(keypoints[[11]], SIZE_WH)
    np.testing.assert_array_equal(blurred_impulses(keypoints[[11, 12]], SIZE_WH), once)


def test_a_map_for_each_joint(keypoints: np.ndarray) -> None:
    maps = joint_heatmaps(keypoints, SIZE_WH, 1.5)
    assert maps.shape == (25, 48, 32)
    for k, point in enumerate(keypoints):
        alone = heatmap(point[None], SIZE_WH, 1.5)
        np.testing.assert_allclose(maps[k], alone, atol=1e-6)
        assert maps[k].max() == (0 if k in (3, 7, 9) else 1)


@pytest.mark.parametrize("rest", [True, False])
def test_values_of_experiment_3(keypoints: np.ndarray, rest: bool) -> None:
    labels, heights = nearest_labels(keypoints, SIZE_WH), heatmap(keypoints, SIZE_WH)
    values = class_values(labels, heights, 25, rest)
    assert values.shape == (26, 48, 32)
    for k in range(1, 26):
        np.testing.assert_allclose(values[k], np.where(labels == k, heights, 0), atol=1e-7)
    if rest:
        np.testing.assert_allclose(values.sum(axis=0), 1, atol=1e-6)
        assert values.min() >= 0
    else:
        np.testing.assert_array_equal(values[0], labels == 0)
        assert values.sum(axis=0).min() < 0.2


def test_no_joints_and_what_does_not_fit() -> None:
    nobody = np.full((25, 2), np.nan)
    for made in (center_pixels, heatmap, nearest_labels, joint_heatmaps):
        assert not made(nobody, SIZE_WH).any()
    np.testing.assert_allclose(blur_matrix(7, 1.3).sum(axis=1), 1)
    with pytest.raises(ShapeError, match="sigma"):
        blur_matrix(7, 0.0)
    with pytest.raises(ShapeError, match="at most 255"):
        center_pixels(np.zeros((256, 2)), SIZE_WH)
    with pytest.raises(ShapeError, match="labels up to 26"):
        class_values(np.full((2, 2), 26, np.uint8), np.zeros((2, 2)), 25)
