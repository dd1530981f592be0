"""Boxes: intersection over union against a loop, growing to an aspect, clipping, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.geometry import boxes


def _random(rng: np.random.Generator, count: int, integers: bool = False) -> np.ndarray:
    low = rng.uniform(-20, 20, (count, 2))
    made = np.concatenate([low, low + rng.uniform(0, 30, (count, 2))], axis=1)
    return np.round(made) if integers else made


def test_as_boxes_takes_lists_single_boxes_and_nothing() -> None:
    assert boxes.as_boxes([[1, 2, 3, 4], [0, 0, 0, 0]]).tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]
    assert boxes.as_boxes((1, 2, 3, 4)).shape == (1, 4)
    for nothing in ([], np.zeros((0, 4)), ()):
        assert boxes.as_boxes(nothing).shape == (0, 4)
    assert boxes.as_boxes(np.ones((2, 4), np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2, 3], r"\(3,\)"),
        (np.zeros((2, 5)), r"\(2, 5\)"),
        (np.zeros((0, 5)), r"\(0, 5\)"),  # boxes with a score column: refused also when there happen to be none
        (np.zeros((3, 0)), r"\(3, 0\)"),
        (np.zeros((1, 1, 4)), r"\(1, 1, 4\)"),
        (5.0, r"\(\)"),
        (None, r"\(\)"),
        ([[1, 2, 3, 4], [1, 2]], "numbers"),
        ([["a", "b", "c", "d"]], "numbers"),
        ([[0, 0, np.nan, 4]], "finite"),
        ([[0, 0, np.inf, 4]], "finite"),
        ([[0, 0, 4, 4], [10, 10, 4, 40]], "is it x, y, width, height"),
        ([[0, 10, 4, 4]], "is it x, y, width, height"),
    ],
)
def test_as_boxes_refuses_what_is_no_box(given: object, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        boxes.as_boxes(given)


def test_corner_and_size_there_and_back(rng: np.random.Generator) -> None:
    made = _random(rng, 20)
    np.testing.assert_allclose(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(made)), made, atol=1e-12)
    assert boxes.xywh_to_xyxy(np.array([10, 20, 3, 4])).tolist() == [10, 20, 13, 24]
    assert boxes.xyxy_to_xywh(np.array([10, 20, 13, 24])).tolist() == [10, 20, 3, 4]
    assert boxes.area(np.array([[10, 20, 13, 24], [1, 1, 1, 9]])).tolist() == [12, 0]


def _iou_slowly(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


@pytest.mark.parametrize("integers", [False, True])
def test_iou_equals_the_loop(integers: bool, rng: np.random.Generator) -> None:
    """Whole numbers make boxes touch, coincide and degenerate, which random floats never do."""
    a, b = _random(rng, 40, integers), _random(rng, 30, integers)
    a[0, 2:] = a[0, :2]
    b[0] = a[0]
    b[1] = a[1]
    expected = [[_iou_slowly(p, q) for q in b] for p in a]
    np.testing.assert_allclose(boxes.iou(a, b), expected, atol=1e-12)
    assert boxes.iou(a, b)[0, 0] == 0  # both empty
    assert boxes.iou(a, b)[1, 1] == (1.0 if boxes.area(a[1]) > 0 else 0.0)
    assert boxes.iou(a, b[:0]).shape == (40, 0)


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 2, 2]])
    b = np.array([[1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 2, 1], [0, 0, 2, 2]])
    np.testing.assert_allclose(boxes.iou(a, b), [[1 / 7, 0, 0.5, 1]])


def test_clip_stays_in_the_image_and_keeps_what_was_inside(rng: np.random.Generator) -> None:
    made = _random(rng, 200)
    cut = boxes.clip(made, (10, 12))
    assert (cut >= -0.5).all()
    assert (cut[:, [0, 2]] <= 9.5).all()
    assert (cut[:, [1, 3]] <= 11.5).all()
    assert (boxes.area(cut) >= 0).all()
    image = boxes.whole_image((10, 12))[None]
    shared = np.maximum(np.minimum(made[:, 2:], image[:, 2:]) - np.maximum(made[:, :2], image[:, :2]), 0).prod(axis=1)
    np.testing.assert_allclose(boxes.area(cut), shared, atol=1e-12)
    np.testing.assert_array_equal(boxes.clip(cut, (10, 12)), cut)


def test_whole_image_is_every_pixel_with_its_half() -> None:
    assert boxes.whole_image((4, 3)).tolist() == [-0.5, -0.5, 3.5, 2.5]
    assert boxes.area(boxes.whole_image((4, 3))) == 12


def test_around_points_ignores_the_missing() -> None:
    points = np.array([[1, 2], [np.nan, np.nan], [5, 4], [100, np.nan]])
    assert boxes.around_points(points).tolist() == [1, 2, 5, 4]
    assert boxes.around_points(points, margin=0.25).tolist() == [0, 1, 6, 5]  # a quarter of the longer side, 4
    assert boxes.around_points(np.array([[3.0, 3.0]]), margin=0.5).tolist() == [3, 3, 3, 3]
    with pytest.raises(ShapeError, match="none of the joints"):
        boxes.around_points(np.full((3, 2), np.nan))


@pytest.mark.parametrize("aspect", [0.75, 1.0, 2.5])
@pytest.mark.parametrize("padding", [1.0, 1.25])
def test_growing_keeps_centre_and_content(aspect: float, padding: float, rng: np.random.Generator) -> None:
    for box in _random(rng, 50):
        grown = boxes.expand_to_aspect(box, aspect, padding)
        width, height = grown[2] - grown[0], grown[3] - grown[1]
        assert width / height == pytest.approx(aspect, rel=1e-9)
        np.testing.assert_allclose((grown[:2] + grown[2:]) / 2, (box[:2] + box[2:]) / 2, atol=1e-9)
        assert (grown[:2] <= box[:2] + 1e-9).all()
        assert (grown[2:] >= box[2:] - 1e-9).all()
        w, h = max(box[2] - box[0], 1), max(box[3] - box[1], 1)
        tight = (width / w == pytest.approx(padding)) or (height / h == pytest.approx(padding))
        assert tight, "one side grows by the padding alone"


def test_growing_by_hand() -> None:
    assert boxes.expand_to_aspect(np.array([0, 0, 30, 40]), 0.75, 1.0).tolist() == [0, 0, 30, 40]
    assert boxes.expand_to_aspect(np.array([0, 0, 10, 40]), 0.75, 1.0).tolist() == [-10, 0, 20, 40]
    assert boxes.expand_to_aspect(np.array([0, 0, 30, 40]), 0.75, 2.0).tolist() == [-15, -20, 45, 60]
    grown = boxes.expand_to_aspect(np.array([5, 5, 5, 5]), 1.0, 1.0)  # a point becomes a pixel
    assert grown.tolist() == [4.5, 4.5, 5.5, 5.5]


def test_the_box_of_a_mask_is_its_pixels_outer_edges(rng) -> None:
    """Against a loop over all pixels."""
    for _ in range(20):
        mask = rng.random((9, 13)) < 0.06
        places = [(x, y) for y in range(9) for x in range(13) if mask[y, x]]
        if not places:
            assert boxes.span(mask) is None
            assert np.isnan(boxes.around_mask(mask)).all()
            continue
        (left, right), (top, bottom) = ((min(p[i] for p in places), max(p[i] for p in places)) for i in (0, 1))
        assert boxes.around_mask(mask).tolist() == [left - 0.5, top - 0.5, right + 0.5, bottom + 0.5]
        rows, columns = boxes.span(mask) or (slice(0), slice(0))
        assert mask[rows, columns].sum() == mask.sum()
        assert (rows.start, rows.stop, columns.start, columns.stop) == (top, bottom + 1, left, right + 1)
