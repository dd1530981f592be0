"""Overlaps of rectangles and discs in closed form, and dilation and contours against written-out oracles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.metrics.masks import (
    boundary_f,
    contour,
    dice,
    dilate,
    iou,
    mask_boundary_f_result,
    mask_dice_in_box_result,
    mask_dice_result,
    mask_iou_result,
    person_mask,
    soft_dice,
)
from vitruvian.skeletons import COCO17


def _rectangle(x0: int, y0: int, x1: int, y1: int, shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Columns x0 ... x1 - 1, rows y0 ... y1 - 1."""
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _disc(x: float, y: float, radius: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns - x, rows - y) <= radius


# ------------------------------------------------------------------------------------------------ areas
def test_rectangles() -> None:
    a, b = _rectangle(10, 10, 30, 40), _rectangle(20, 10, 50, 40)  # 600 and 900 pixels, 300 in common
    assert dice(a, b) == pytest.approx(2 * 300 / 1500)
    assert iou(a, b) == pytest.approx(300 / 1200)
    assert dice(a, a) == iou(a, a) == 1
    assert dice(a, _rectangle(50, 50, 60, 60)) == iou(a, _rectangle(50, 50, 60, 60)) == 0


def test_concentric_discs() -> None:
    """The smaller lies inside: IoU is the ratio of the areas, (r / R)^2."""
    big, small = _disc(200, 200, 160, (400, 400)), _disc(200, 200, 96, (400, 400))
    ratio = (96 / 160) ** 2
    assert iou(small, big) == pytest.approx(ratio, abs=2e-3)
    assert dice(small, big) == pytest.approx(2 * ratio / (1 + ratio), abs=2e-3)


def test_two_discs_overlap_in_a_lens() -> None:
    radius, apart = 150.0, 120.0
    lens = 2 * radius**2 * math.acos(apart / (2 * radius)) - apart / 2 * math.sqrt(4 * radius**2 - apart**2)
    a, b = _disc(190, 200, radius, (400, 520)), _disc(190 + apart, 200, radius, (400, 520))
    assert dice(a, b) == pytest.approx(lens / (math.pi * radius**2), abs=2e-3)


def test_empty_masks_agree() -> None:
    empty, some = np.zeros((9, 9), bool), _rectangle(2, 2, 5, 5, (9, 9))
    for measure in (dice, iou, soft_dice, boundary_f):
        assert measure(empty, empty) == 1
        assert measure(empty, some) == 0
        assert measure(some, empty) == 0


def test_dice_and_iou_are_one_quantity(rng: np.random.Generator) -> None:
    a, b = rng.random((20, 13, 17)) < rng.random((20, 1, 1)), rng.random((20, 13, 17)) < 0.4
    d, j = dice(a, b), iou(a, b)
    assert d.shape == (20,)
    np.testing.assert_allclose(j, d / (2 - d))
    np.testing.assert_allclose(dice(b, a), d)
    np.testing.assert_allclose(soft_dice(a, b), d)
    np.testing.assert_allclose(soft_dice(a, b, squared=True), d)
    for i in range(20):
        assert d[i] == pytest.approx(
            2 * sum(x and y for x, y in zip(a[i].flat, b[i].flat, strict=True)) / (a[i].sum() + b[i].sum())
        )


def test_soft_dice_of_a_constant_probability() -> None:
    truth = _rectangle(0, 0, 80, 30)  # half the image
    assert soft_dice(np.full((60, 80), 0.5), truth) == pytest.approx(0.5)
    assert soft_dice(np.full((60, 80), 0.25), truth) == pytest.approx(2 * 0.125 / 0.75)
    assert soft_dice(np.full((60, 80), 0.5), truth, squared=True) == pytest.approx(2 * 0.25 / 0.75)
    with pytest.raises(ShapeError, match=r"\[0, 1\]"):
        soft_dice(np.full((60, 80), 255), truth)


def test_what_is_a_mask() -> None:
    mask = _rectangle(3, 3, 9, 9)
    assert dice(mask.astype(np.uint8) * 255, mask) == 1
    assert dice(np.where(mask, 0.5, 0.49), mask) == 1


def test_lists_of_different_sizes() -> None:
    a, b = _rectangle(0, 0, 10, 10), _rectangle(0, 0, 4, 4, (5, 5))
    np.testing.assert_allclose(iou([a, b], [_rectangle(0, 0, 10, 20), b]), [0.5, 1])
    assert iou([], []).shape == (0,)
    with pytest.raises(ShapeError, match="2 and 1"):
        iou([a, b], [a])
    with pytest.raises(ShapeError, match="same shape"):
        iou(a, b)


# ------------------------------------------------------------------------------------------------ contours
def test_contour_of_a_rectangle_is_its_frame() -> None:
    assert contour(_rectangle(10, 10, 30, 40)).sum() == 2 * (20 + 30) - 4
    assert contour(np.ones((6, 8), bool)).sum() == 2 * (6 + 8) - 4  # beyond the image is outside
    line = _rectangle(5, 5, 40, 6)
    np.testing.assert_array_equal(contour(line), line)


def test_dilation_is_a_disc(rng: np.random.Generator) -> None:
    for radius in (0, 0.9, 1, 1.5, 2, 3.7, 9, 200):
        mask = rng.random((23, 31)) < 0.02
        mask[7, 11] = True
        points = np.argwhere(mask)
        rows, columns = np.mgrid[:23, :31]
        nearest = np.hypot(rows[..., None] - points[:, 0], columns[..., None] - points[:, 1]).min(axis=-1)
        np.testing.assert_array_equal(dilate(mask, radius), nearest <= radius)
    assert not dilate(np.zeros((5, 6), bool), 3).any()


def test_boundary_f_of_a_shifted_rectangle() -> None:
    """A frame moved by s to the right: only its two vertical sides leave it, and all is within s again."""
    a, b = _rectangle(10, 10, 30, 40), _rectangle(13, 10, 33, 40)
    assert boundary_f(a, b, tolerance_px=3) == 1
    # 96 contour pixels each; in common are the 17 columns of the upper and of the lower side
    assert boundary_f(a, b, tolerance_px=0) == pytest.approx(34 / 96)
    assert boundary_f(a, a, tolerance_px=0) == 1
    assert boundary_f(a, _rectangle(60, 10, 79, 50), tolerance_px=5) == 0


def test_boundary_f_grows_with_the_tolerance_and_does_not_depend_on_the_order(rng: np.random.Generator) -> None:
    a, b = _disc(40, 30, 20, (60, 80)), _disc(44, 31, 17, (60, 80))
    values = [float(boundary_f(a, b, tolerance_px=t)) for t in range(9)]  # 8 > 4.2 apart + 3 of radius
    assert values == sorted(values)
    assert values[0] < 1
    assert values[-1] == 1
    assert float(boundary_f(b, a, tolerance_px=2)) == pytest.approx(values[2])
    default = boundary_f(np.stack([a, b]), np.stack([b, b]))
    assert default.shape == (2,)
    assert default[0] == boundary_f(a, b, tolerance_px=0.008 * 100)  # the diagonal of 80 x 60 is 100
    with pytest.raises(ShapeError, match="tolerance"):
        boundary_f(a, b, tolerance_px=-1)


# ------------------------------------------------------------------------------------------------ on records
def _counts(mask: np.ndarray) -> dict:
    """Uncompressed RLE: runs of 0 and 1 in turn, down the columns."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": runs if flat[0] == 0 else [0, *runs]}


def test_person_masks_from_polygons_and_rle(make_record) -> None:
    mask = _rectangle(100, 50, 300, 250, (480, 640))
    polygon = [[100.0, 50.0, 300.0, 50.0, 300.0, 250.0, 100.0, 250.0]]
    people = make_record(COCO17, np.ones((2, 17, 2)), segmentation=[polygon, _counts(mask)]).persons
    np.testing.assert_array_equal(person_mask(people[1], (640, 480)), mask)
    assert iou(person_mask(people[0], (640, 480)), mask) > 0.99
    with pytest.raises(ShapeError, match="640 x 480, the image 640 x 481"):
        person_mask(people[1], (640, 481))
    with pytest.raises(ShapeError, match="no segmentation"):
        person_mask(replace(people[0], segmentation=None), (640, 480))


def test_mask_metrics_person_by_person(make_record, make_poses) -> None:
    shape = (480, 640)
    small, large = _rectangle(10, 10, 30, 30, shape), _rectangle(100, 100, 300, 300, shape)
    record = make_record(
        COCO17,
        np.ones((4, 17, 2)),
        segmentation=[_counts(small), _counts(large), None, _counts(large)],
        is_crowd=[False, False, False, True],
    )
    masks = np.stack([small, _rectangle(100, 100, 300, 200, shape), small, small])
    poses = make_poses(COCO17, np.ones((4, 17, 2)), masks=masks)
    result = mask_iou_result([record], [poses])
    assert result.value == pytest.approx(0.75)
    assert [(r["size"], r["value"], r["count"]) for r in result.table] == [
        ("small", 1.0, 1),
        ("medium", None, 0),
        ("large", 0.5, 1),
    ]
    assert (result.details["persons_without_mask"], result.details["crowds_skipped"]) == (1, 1)
    assert mask_dice_result([record], [poses]).value == pytest.approx((1 + 2 / 3) / 2)
    assert 0.5 < mask_boundary_f_result([record], [poses]).value < 1
    boxed = replace(record, persons=(replace(record.persons[0], box_xyxy=np.array([0.5, 0, 30.2, 480])),))
    first, spilt = poses.select([0]), masks[:1].copy()
    spilt[:, :, 31:] = True  # beyond the pixels that the box touches
    assert mask_dice_in_box_result([boxed], [replace(first, masks=spilt)]).value == pytest.approx(1)
    assert mask_dice_result([boxed], [replace(first, masks=spilt)]).value < 0.5
    unboxed = replace(boxed, persons=tuple(replace(p, box_xyxy=None) for p in boxed.persons))
    assert mask_dice_in_box_result([unboxed], [first]).details["persons_without_mask"] == 1
    with pytest.raises(ShapeError, match="no masks"):
        mask_dice_result([record], [replace(poses, masks=None)])
    with pytest.raises(ShapeError, match="same shape"):
        mask_dice_result([record], [replace(poses, masks=masks[:, :100], size_wh=(640, 100))])
    nobody = mask_dice_result([make_record(COCO17, [])], [make_poses(COCO17, [])])
    assert nobody.value is None
