"""Strokes against closed forms: areas, edges at half coverage, and bands that leave no seam."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.draw import strokes

WHITE = (255, 255, 255)


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def brute(canvas: np.ndarray, start, end, radius: float) -> np.ndarray:
    """(H, W) coverage 0..1 by distance over the whole canvas, without bands or windows."""
    height, width = canvas.shape[:2]
    points = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    start, end = np.array(start, float), np.array(end, float)
    axis = end - start
    along = np.clip(((points - start) @ axis) / max(axis @ axis, 1e-12), 0, 1)
    distance = np.linalg.norm(points - start - along[..., None] * axis, axis=-1)
    return np.clip(radius + 0.5 - distance, 0, 1)


def test_a_horizontal_stroke():
    canvas = black(21, 60)
    strokes.stroke(canvas, (10, 10), (50, 10), 2.0, (10, 200, 30))
    np.testing.assert_array_equal(canvas[8:13, 30], [[5, 100, 15], *[[10, 200, 30]] * 3, [5, 100, 15]])  # edges at half
    assert canvas[10, 7:8].sum() == 0
    assert canvas[10, 8].tolist() == [5, 100, 15]
    assert canvas[:8].sum() == 0
    assert canvas[13:].sum() == 0


def test_strokes_equal_brute_force(rng):
    for _ in range(60):
        height, width = int(rng.integers(1, 150)), int(rng.integers(1, 150))
        start, end = (rng.uniform(-40, 190, 2) for _ in range(2))
        if rng.random() < 0.2:
            end = start
        radius = float(rng.uniform(0.5, 30))
        canvas = black(height, width)
        strokes.stroke(canvas, start, end, radius, WHITE)
        expected = np.round(brute(canvas, start, end, radius) * 255)
        assert np.abs(canvas[..., 1] - expected).max() <= 1


def test_the_area_of_a_disc_and_of_a_ring(rng):
    radius, hole = float(rng.uniform(8, 20)), float(rng.uniform(3, 6))
    center = rng.uniform(30, 34, 2)
    canvas = black(64, 64)
    strokes.disc(canvas, center, radius, WHITE)
    assert canvas[..., 0].sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.01)
    ring = black(64, 64)
    strokes.disc(ring, center, radius, WHITE, hole=hole)
    assert ring[..., 0].sum() / 255 == pytest.approx(np.pi * (radius**2 - hole**2), rel=0.01)
    assert ring[tuple(np.round(center[::-1]).astype(int))].sum() == 0


def test_alpha_mixes():
    canvas = np.full((9, 9, 3), 100, np.uint8)
    strokes.disc(canvas, (4, 4), 2.5, (200, 0, 100), alpha=0.25)
    assert canvas[4, 4].tolist() == [125, 75, 100]
    assert canvas[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize("end", [(1e5, 1e5), (-1e5, 30.0), (30.0, -1e5)])
def test_what_leaves_the_canvas_is_cut(end):
    canvas = black(50, 70)
    strokes.stroke(canvas, (30, 30), end, 3, WHITE)
    assert canvas[30, 30, 0] == 255
    assert canvas.any(axis=(0, 2)).sum() < 70 or canvas.any(axis=(1, 2)).sum() <= 50
    outside = black(50, 70)
    strokes.stroke(outside, (-1e4, -20), (1e4, -20), 3, WHITE)
    assert not outside.any()


def test_a_rectangle():
    canvas = black(40, 40)
    strokes.rectangle(canvas, np.array([10, 5, 30, 25]), 1.0, WHITE)
    assert canvas[5, 10:31, 0].min() == 255
    assert canvas[5:26, 30, 0].min() == 255
    assert not canvas[8:23, 13:28].any()
    assert not canvas[:3].any()
    strokes.rectangle(canvas, np.array([-1e9, -1e9, 1e9, 1e9]), 1.0, WHITE)
    assert not canvas[8:23, 13:28].any()


def test_tint():
    canvas = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:25] = True
    strokes.tint(canvas, mask, (200, 0, 100), 0.5, outline=2)
    assert canvas[10, 17].tolist() == [150, 50, 100]
    assert canvas[7, 12].tolist() == [150, 50, 100]
    for y, x in ((5, 17), (6, 17), (10, 11), (10, 24), (14, 17)):  # two pixels of rim
        assert canvas[y, x].tolist() == [190, 10, 100]
    assert (canvas[~mask] == 100).all()
    before = canvas.copy()
    strokes.tint(canvas, np.zeros((20, 30), bool), (0, 0, 0), 0.5, outline=2)
    np.testing.assert_array_equal(canvas, before)
    whole = np.zeros((4, 4, 3), np.uint8)
    strokes.tint(whole, np.ones((4, 4), bool), (100, 100, 100), 0.5, outline=1)
    np.testing.assert_array_equal(whole[1:3, 1:3], np.full((2, 2, 3), 50))  # the border of the image is a rim too
    assert (whole[0] == 90).all()


def test_text_is_written_cut_and_clipped():
    canvas = black(30, 200)
    strokes.text(canvas, (5, 5), "hands and knees", 16, WHITE)
    written = np.flatnonzero(canvas.any(axis=(0, 2)))
    assert canvas.max() > 200
    assert 5 <= written[0] < 12
    assert 80 < written[-1] < 160
    cut = black(30, 200)
    strokes.text(cut, (5, 5), "hands and knees", 16, WHITE, max_width=50)
    assert 0 < np.flatnonzero(cut.any(axis=(0, 2)))[-1] < 5 + 50
    for at_xy in ((-20, -8), (195, 25), (500, 500), (-500, 0)):
        strokes.text(black(30, 200), at_xy, "clipped", 16, WHITE)
    narrow = black(30, 5)
    strokes.text(narrow, (0, 0), "does not fit at all", 16, WHITE, max_width=5)
    strokes.text(canvas, (0, 0), "日本 \n two lines", 16, WHITE)


def test_tags_move_into_the_canvas_and_off_each_other():
    canvas = black(100, 200)
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(3):
        strokes.tag(canvas, (190, -30), "left wrist", 12, (255, 255, 255), taken=taken)
    for x0, y0, x1, y1 in taken:
        assert 0 <= x0 < x1 <= 200
        assert 0 <= y0 < y1 <= 100
    for i in range(3):
        for j in range(i):
            assert taken[i][1] >= taken[j][3] or taken[j][1] >= taken[i][3]
    x0, y0, x1, y1 = (round(v) for v in taken[0])
    assert (canvas[(y0 + y1) // 2, x0 + 1 : x0 + 3] > 0).all()
    left: list[tuple[float, float, float, float]] = []
    strokes.tag(canvas, (150, 50), "x", 12, (255, 255, 255), leftwards=True, taken=left)
    assert left[0][2] == pytest.approx(150)
    strokes.tag(black(3, 3), (1, 1), "larger than the canvas", 12, (255, 255, 255))


def test_a_pillow_without_freetype_still_writes(monkeypatch):
    from PIL import ImageFont

    real = ImageFont.load_default_imagefont

    def bitmap_only(size=None):
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return real()

    monkeypatch.setattr(ImageFont, "load_default", bitmap_only)
    strokes._font.cache_clear()
    try:
        canvas = black(30, 120)
        strokes.text(canvas, (2, 2), "wrist 日", 16, WHITE)
        assert canvas.max() == 255
    finally:
        strokes._font.cache_clear()
