"""Shapes against their closed forms, and the half-pixel rule of oversampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from vitruvian.synth.painting import OVERSAMPLING, Part, band, capsule, ellipse, label_map, paint_parts, tone


def area(polygon: list) -> float:
    x, y = np.array(polygon).T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def test_capsule_surrounds_its_axis(rng: np.random.Generator) -> None:
    start, end = rng.uniform(-20, 20, 2), rng.uniform(30, 60, 2)
    points = np.array(capsule(tuple(start), tuple(end), 4.0, 4.0))
    axis = end - start
    share = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    np.testing.assert_allclose(np.linalg.norm(points - (start + share[:, None] * axis), axis=1), 4.0, atol=1e-9)


def test_a_capsule_without_length_is_round() -> None:
    points = np.array(capsule((3.0, 4.0), (3.0, 4.0), 2.0, 2.0))
    np.testing.assert_allclose(np.linalg.norm(points - (3.0, 4.0), axis=1), 2.0)


def test_areas() -> None:
    fourteen_gon = 14 / 2 * math.sin(2 * math.pi / 14)
    assert area(ellipse((5, 5), (3, 0), (0, 2))) == pytest.approx(6 * fourteen_gon)
    assert area(band((0, 0), (0, 10), 0.25, 0.75, 2, 2)) == pytest.approx(5 * 4)
    assert area(band((0, 0), (10, 0), 0.0, 1.0, 1, 3)) == pytest.approx(10 * 4)


def test_tone_stays_a_colour() -> None:
    assert tone((200, 100, 0), 1.5) == (255, 150, 0)
    assert tone((200, 100, 50), 0.5) == (100, 50, 25)


@pytest.mark.parametrize("size_wh", [(33, 40), (40, 33)])
def test_painted_shapes_and_their_labels_have_the_same_centre(
    size_wh: tuple[int, int], rng: np.random.Generator
) -> None:
    centre = rng.uniform(12, 20, 2)
    disc = ellipse((float(centre[0]), float(centre[1])), (8, 0), (0, 8))
    part = Part(7, 0.0, [disc], (255, 255, 255), [])
    canvas = Image.new("RGB", (size_wh[0] * OVERSAMPLING, size_wh[1] * OVERSAMPLING))
    paint_parts(canvas, [part])
    painted = np.asarray(canvas.reduce(OVERSAMPLING))[..., 0] / 255.0
    labels = label_map([part], size_wh)
    assert painted.shape == labels.shape == size_wh[::-1]
    assert set(np.unique(labels)) == {0, 7}
    ys, xs = np.mgrid[: size_wh[1], : size_wh[0]]
    # Corners are rounded to pixels of the canvas, which moves a disc of this size by 0.1 or 0.2 px at most.
    for weight, tolerance_px in ((painted, 0.22), (labels > 0, 0.35)):
        found = np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(found, centre, atol=tolerance_px)


def test_rounding_has_no_direction(rng: np.random.Generator) -> None:
    shifts = []
    for _ in range(60):
        x, y = (float(v) for v in rng.uniform(12, 20, 2))
        labels = label_map([Part(1, 0.0, [ellipse((x, y), (8, 0), (0, 8))], (1, 1, 1), [])], (33, 33))
        rows, columns = np.nonzero(labels)
        shifts.append((columns.mean() - x, rows.mean() - y))
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1  # truncation would give -0.5


def test_later_pieces_cover_earlier_ones() -> None:
    square = [(2.0, 2.0), (8.0, 2.0), (8.0, 8.0), (2.0, 8.0)]
    first, second = (Part(n, 0.0, [square], (n, n, n), []) for n in (1, 2))
    assert label_map([first, second], (12, 12))[5, 5] == 2
    assert label_map([second, first], (12, 12))[5, 5] == 1
