"""Pictures made of masks: alpha, blur, silhouettes, by what they must be pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.draw.masks import blur_background, cut_out, silhouette
from vitruvian.errors import ShapeError
from vitruvian.skeletons import LSP14
from vitruvian.types import Poses


def _poses(masks: np.ndarray | None, size_wh: tuple[int, int] = (60, 40), count: int = 2) -> Poses:
    box = np.tile([0.0, 0, 10, 10], (count, 1))
    return Poses(np.zeros((count, 14, 2)), np.zeros((count, 14)), box, LSP14, size_wh, masks=masks)


@pytest.fixture
def masks() -> np.ndarray:
    found = np.zeros((2, 40, 60), bool)
    found[0, 10:30, 5:20] = True
    found[1, 10:30, 40:55] = True
    return found


def test_people_are_cut_out(masks: np.ndarray, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    hard = cut_out(image, _poses(masks), feather_px=0)
    np.testing.assert_array_equal(hard[..., :3], image)
    np.testing.assert_array_equal(hard[..., 3], masks.any(0) * 255)
    soft = cut_out(image, _poses(masks), feather_px=1.5)[..., 3]
    assert soft[20, 12] == 255
    assert soft[20, 30] == 0
    assert 60 < soft[20, 20] < 195


def test_the_background_is_blurred_without_people(masks: np.ndarray) -> None:
    """A white person before grey: the background stays grey up to its edge, and the person white."""
    image = np.where(masks.any(0)[..., None], 255, 100).astype(np.uint8).repeat(3, axis=2)
    blurred = blur_background(image, _poses(masks), radius_px=4, feather_px=0)
    np.testing.assert_allclose(blurred[~masks.any(0)], 100, atol=3)
    np.testing.assert_array_equal(blurred[masks.any(0)], 255)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    calmer = blur_background(noise, _poses(masks), radius_px=3, feather_px=0)
    assert calmer[~masks.any(0)].std() < 0.4 * noise[~masks.any(0)].std()
    np.testing.assert_array_equal(calmer[masks.any(0)], noise[masks.any(0)])


def test_silhouettes_are_white_on_black(masks: np.ndarray) -> None:
    np.testing.assert_array_equal(silhouette(_poses(masks)), masks.any(0)[..., None] * np.full(3, 255))


def test_nobody_is_all_background() -> None:
    nobody, image = _poses(np.zeros((0, 40, 60), bool), count=0), np.full((40, 60, 3), 9, np.uint8)
    assert not cut_out(image, nobody)[..., 3].any()
    assert not silhouette(nobody).any()
    np.testing.assert_array_equal(blur_background(image, nobody), image)


def test_what_does_not_fit_is_said(masks: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="have no masks"):
        silhouette(_poses(None))
    with pytest.raises(ShapeError, match="image of"):
        cut_out(np.zeros((41, 60, 3), np.uint8), _poses(masks))
