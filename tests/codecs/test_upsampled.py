"""System 3's decoding against scipy, step by step, and by closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec
from vitruvian.codecs._upsampled import peaks_upsampled
from vitruvian.types import Outputs


def _enlarged(heatmap: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Bilinear, by pixel centres, the border repeated: one pixel at a time."""
    height, width = heatmap.shape
    large = np.empty((size_wh[1], size_wh[0]))
    for y in range(size_wh[1]):
        for x in range(size_wh[0]):
            u = min(max((x + 0.5) * width / size_wh[0] - 0.5, 0.0), width - 1.0)
            v = min(max((y + 0.5) * height / size_wh[1] - 0.5, 0.0), height - 1.0)
            u0, v0 = int(u), int(v)
            u1, v1 = min(u0 + 1, width - 1), min(v0 + 1, height - 1)
            top = (1 - (u - u0)) * heatmap[v0, u0] + (u - u0) * heatmap[v0, u1]
            bottom = (1 - (u - u0)) * heatmap[v1, u0] + (u - u0) * heatmap[v1, u1]
            large[y, x] = (1 - (v - v0)) * top + (v - v0) * bottom
    return large


def _slowly(heatmap: np.ndarray, size_wh: tuple[int, int]) -> tuple[int, int, float]:
    """Every step of the system, the suppression too: x, y and confidence, which is 0 where nothing is left."""
    ndimage = pytest.importorskip("scipy.ndimage")
    large = ndimage.gaussian_filter(_enlarged(heatmap.astype(np.float64), size_wh), 1)
    large[large < 0.2] = 0
    large *= large == ndimage.maximum_filter(large, footprint=np.ones((3, 3)))
    y, x = np.unravel_index(large.argmax(), large.shape)
    return (int(x), int(y), float(large[y, x])) if large[y, x] > 0.04 else (0, 0, 0.0)


@pytest.mark.parametrize(("map_wh", "stride"), [((8, 8), 4), ((12, 9), 4), ((7, 5), 3), ((5, 6), 1), ((1, 3), 4)])
def test_it_is_the_system_step_by_step(map_wh: tuple[int, int], stride: int, rng: np.random.Generator) -> None:
    size_wh = (map_wh[0] * stride, map_wh[1] * stride)
    noise = rng.uniform(-0.3, 1, (1, 4, map_wh[1], map_wh[0])).astype(np.float32)
    heights = rng.choice([0.1, 0.5, 1.0, 1.4], (1, 4, 1, 1))
    codec = HeatmapCodec(size_wh=size_wh, stride=stride, refine="upsampled")
    found, scores = codec.decode(Outputs({"heatmaps": noise * heights}))
    for k in range(4):
        x, y, confidence = _slowly((noise * heights)[0, k], size_wh)
        assert scores[0, k] == pytest.approx(min(confidence, 1), abs=1e-6)
        if confidence:
            assert found[0, k].tolist() == [x, y]
    assert np.isfinite(found).all()


def test_below_the_threshold_the_place_stands_and_the_score_is_zero(rng: np.random.Generator) -> None:
    codec = HeatmapCodec(size_wh=(64, 48), refine="upsampled")
    points = rng.uniform(8, [55, 39], (2, 3, 2))
    maps = codec.encode(points, np.full((2, 3), 2)).arrays["heatmaps"]
    low, high = (codec.decode(Outputs({"heatmaps": h * maps})) for h in (np.float32(0.19), np.float32(0.5)))
    np.testing.assert_array_equal(low[0], high[0])
    assert (low[1] == 0).all()
    assert (high[1] > 0.4).all()
    assert np.abs(low[0] - points).max() <= 2
    below_zero = codec.decode(Outputs({"heatmaps": maps - 1}))
    assert np.abs(below_zero[0] - high[0]).max() <= 1  # smoothing keeps constants; two pixels may tie
    assert (below_zero[1] == 0).all()


def test_the_middle_of_two_equal_cells_is_the_middle(rng: np.random.Generator) -> None:
    """Where an arg max over cells would choose one side: the enlarged map is flat between, its smoothed middle highest.

    Of the two pixels beside the middle, either.
    """
    codec = HeatmapCodec(size_wh=(64, 64), refine="upsampled", sigma=1.0)
    cells = rng.integers(2, 13, 2)
    middle = codec.to_input(cells + 0.5)
    maps = codec.encode(middle[None, None], np.array([[2]])).arrays["heatmaps"]
    (((x, y),),) = codec.decode(Outputs({"heatmaps": maps}))[0]
    assert {abs(x - middle[0]), abs(y - middle[1])} == {0.5}


def test_many_maps_are_as_one(rng: np.random.Generator) -> None:
    """More than are enlarged at a time."""
    maps = rng.normal(0.5, 0.3, (131, 6, 5)).astype(np.float32)
    found, scores = peaks_upsampled(maps, (20, 24))
    for i in (0, 63, 64, 127, 128, 130):
        alone, score = peaks_upsampled(maps[i : i + 1], (20, 24))
        np.testing.assert_array_equal(alone[0], found[i])
        assert score[0] == scores[i]
    assert len(np.unique(found, axis=0)) > 50
