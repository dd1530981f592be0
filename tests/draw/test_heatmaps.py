"""`stack_figure`: the ramp's lightness, and maps that lie over the crop where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.draw import stack_figure
from vitruvian.draw.heatmaps import ramp
from vitruvian.errors import ShapeError

NAMES = ("nose", "left_shoulder", "right_shoulder")
GAP = 3


def lightness(colors: np.ndarray) -> np.ndarray:
    """CIE L* of (N, 3) uint8 sRGB: another space than the one that the ramp was made in."""
    value = colors / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)


def tiles(figure: np.ndarray, rows: int, columns: int, tile_wh: tuple[int, int]) -> np.ndarray:
    """(rows, columns, h, w, 3): cut from the lower right corner, where there is nothing but tiles."""
    w, h = tile_wh
    height, width = figure.shape[:2]
    return np.array(
        [
            [
                figure[height - (rows - r) * (h + GAP) :, width - (columns - c) * (w + GAP) :][:h, :w]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def maps_at(*places: tuple[int, int] | None, shape: tuple[int, int] = (16, 12), height: float = 1.0) -> np.ndarray:
    """One map a place, a block of 3 x 3 pixels high about it."""
    maps = np.zeros((len(places), *shape), np.float32)
    for k, place in enumerate(places):
        if place is not None:
            x, y = place
            maps[k, y - 1 : y + 2, x - 1 : x + 2] = height
    return maps


def test_the_ramp_rises_evenly():
    colors = ramp()
    assert colors.shape == (256, 3)
    assert colors.dtype == np.uint8
    rise = np.diff(lightness(colors.astype(float))[::15])
    assert (rise > 0).all()
    assert rise.max() < 2.2 * rise.min()  # OKLab's lightness is not CIE's, but near it
    assert lightness(colors[:1].astype(float)) < 25
    assert lightness(colors[-1:].astype(float)) > 85
    assert np.abs(np.diff(colors.astype(int), axis=0)).max() <= 8  # no seam
    ramp()[...] = 0
    assert ramp().any()  # nobody's copy is another's


def test_rows_are_truth_and_stacks_and_columns_are_joints():
    crop = np.zeros((64, 48, 3), np.uint8)
    truth = maps_at((2, 12), (6, 8), None)
    stacks = np.stack([maps_at((9, 3), None, (6, 8), height=0.5), maps_at((2, 12), (6, 8), (6, 8))])
    figure = stack_figure(crop, stacks, truth, NAMES, tile_px=64)
    cut = tiles(figure, 3, 3, (48, 64))
    brightest = ramp()[-1]
    for row, maps in enumerate((truth, *stacks)):
        for k in range(3):
            bright = cut[row, k, 16:]  # below the number
            if not maps[k].any():
                assert not bright.any()
                continue
            at = np.argwhere(bright.max(axis=2) > 0.8 * bright.max()).mean(axis=0)[::-1] + np.array([0, 16])
            y, x = np.argwhere(maps[k] > 0).mean(axis=0)
            if maps[k].max() == 1:
                np.testing.assert_allclose(at, [(x + 0.5) * 4 - 0.5, (y + 0.5) * 4 - 0.5], atol=1)
                assert (bright == brightest).all(axis=2).any()
            else:
                assert not (bright == brightest).all(axis=2).any()  # a faint map looks faint


def test_the_crop_is_dimmed_and_shows_where_maps_are_low(rng):
    crop = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    maps = maps_at((8, 8), shape=(16, 16))
    figure = stack_figure(crop, maps[None], np.zeros_like(maps), ["nose"], tile_px=64)
    truth, stack = tiles(figure, 2, 1, (64, 64))[:, 0].astype(int)
    grey = crop @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(truth[16:], (0.35 * grey[16:])[..., None] * np.ones(3), atol=1)
    np.testing.assert_array_equal(stack[50:], truth[50:])
    assert (stack[30:38, 30:38] != truth[30:38, 30:38]).any(axis=2).all()


def test_values_are_cut_and_sizes_follow_the_crop():
    crop = np.zeros((80, 160, 3), np.uint8)
    high = maps_at((10, 5), (4, 4), (2, 2), shape=(10, 20), height=7.0)
    one = maps_at((10, 5), (4, 4), (2, 2), shape=(10, 20), height=1.0)
    figures = [stack_figure(crop, -9 * (m == 0)[None] + m[None], m, NAMES, tile_px=80) for m in (high, one)]
    assert figures[0].shape == figures[1].shape
    cut = [tiles(f, 2, 3, (80, 40)) for f in figures]
    np.testing.assert_array_equal(cut[0][:, :, 16:], cut[1][:, :, 16:])
    assert (cut[0][:, :, :16] != cut[1][:, :, :16]).any()  # the numbers say 7.00 and 1.00
    assert stack_figure(crop, np.stack([one] * 8), one, NAMES).shape[0] > 3 * figures[0].shape[0]


def test_captions_name_the_joints():
    maps = maps_at((4, 4), (4, 4), (4, 4))
    crop = np.zeros((64, 48, 3), np.uint8)
    pictures = [stack_figure(crop, maps[None], maps, names) for names in (NAMES, ("nose", "left_hip", "right_hip"))]
    top = [p[:18] for p in pictures]
    assert (top[0] != top[1]).any()
    np.testing.assert_array_equal(pictures[0][20:], pictures[1][20:])
    unlabelled = stack_figure(crop, maps[None], np.zeros_like(maps), NAMES)
    assert unlabelled[:18].max() < pictures[0][:18].max()  # fainter


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stacks": np.zeros((3, 4, 4))}, r"stacks \(S, K, h, w\)"),
        ({"stacks": np.zeros((0, 2, 4, 4))}, r"got \(0, 2, 4, 4\)"),
        ({"truth": np.zeros((2, 4, 5))}, r"\(2, 4, 5\)"),
        ({"names": ["nose"]}, "1 names"),
        ({"crop": np.zeros((8, 8), np.uint8)}, r"\(H, W, 3\) uint8"),
        ({"crop": np.zeros((8, 8, 3))}, "float64"),
        ({"tile_px": 2}, "8 pixels or more"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    fits = {
        "crop": np.zeros((8, 8, 3), np.uint8),
        "stacks": np.zeros((1, 2, 4, 4)),
        "truth": np.zeros((2, 4, 4)),
        "names": ["nose", "neck"],
    }
    assert stack_figure(**fits).ndim == 3
    with pytest.raises(ShapeError, match=said):
        stack_figure(**{**fits, **change})
