"""Overlap of person masks: Dice, IoU, and the F-measure of their contours.

Dice: Dice, Ecology 1945; its soft form: Milletari et al., 3DV 2016 (there with squares in the denominator). Contour
F-measure: Martin et al., TPAMI 2004, with the matching by dilation of Perazzi et al., CVPR 2016 (DAVIS), whose
tolerance of 0.8 % of the image's diagonal is the default here.

Two empty masks agree perfectly: every measure is 1. One empty, one not: 0.

On arrays each function takes (H, W) or (..., H, W) and returns the leading shape; given lists it takes one mask an
item, of any sizes, and returns (N,). A float array is a mask where it is >= 0.5, any other where it is not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..formats import rle
from ..geometry import boxes
from ..types import Person, Poses, Record
from .people import check_aligned, check_pairs
from .result import MetricResult

Masks = np.ndarray | Sequence[np.ndarray]
BOUNDARY_TOLERANCE = 0.008
"""Share of the image's diagonal by which two contours may be apart, DAVIS's."""


# ---------------------------------------------------------------------------------------------- on arrays
def dice(pred: Masks, truth: Masks) -> np.ndarray:
    """Twice the common area over the sum of both areas, in [0, 1]; `ShapeError` where the shapes differ."""
    return _each(_dice, pred, truth)


def iou(pred: Masks, truth: Masks) -> np.ndarray:
    """The common area over the united area, in [0, 1]; equals ``dice / (2 - dice)``."""
    return _each(_iou, pred, truth)


def soft_dice(pred: Masks, truth: Masks, *, squared: bool = False) -> np.ndarray:
    """Dice of probabilities in [0, 1]: ``2 sum(p t) / (sum(p) + sum(t))``, with squares below if ``squared``.

    On masks of 0 and 1 it equals `dice`. Raises `ShapeError` for values outside [0, 1].
    """

    def one(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        p, t = p.astype(np.float64), t.astype(np.float64)
        for values in (p, t):
            if values.size and not ((values >= 0) & (values <= 1)).all():
                raise ShapeError(f"soft Dice needs values in [0, 1], got {values.min()} ... {values.max()}")
        below = _sum(p**2) + _sum(t**2) if squared else _sum(p) + _sum(t)
        return _over(2 * _sum(p * t), below)

    return _each(one, pred, truth)


def boundary_f(pred: Masks, truth: Masks, *, tolerance_px: float | None = None) -> np.ndarray:
    """Harmonic mean of the shares of each contour that lie within ``tolerance_px`` of the other, in [0, 1].

    A contour is the mask's pixels with one of the four neighbours outside the mask; beyond the image's edge is
    outside, so a mask that fills the image has the frame as its contour. Distances are Euclidean, between pixel
    centres. Without ``tolerance_px`` it is 0.8 % of the image's diagonal.
    """
    if tolerance_px is not None and not tolerance_px >= 0:
        raise ShapeError(f"the tolerance must be 0 or more pixels, got {tolerance_px}")

    def one(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        height, width = p.shape[-2:]
        radius = BOUNDARY_TOLERANCE * float(np.hypot(height, width)) if tolerance_px is None else tolerance_px
        flat = zip(_binary(p).reshape(-1, height, width), _binary(t).reshape(-1, height, width), strict=True)
        return np.array([_boundary_f(a, b, radius) for a, b in flat]).reshape(p.shape[:-2])

    return _each(one, pred, truth)


def contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of a mask that have one of their four neighbours outside it."""
    mask = _binary(np.asarray(mask))
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """(H, W) bool: the pixels within ``radius_px`` (Euclidean, centre to centre) of a pixel of the mask."""
    mask = np.asarray(mask, dtype=bool)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    sums = np.concatenate([np.zeros((height, 1), np.int64), np.cumsum(mask, axis=1)], axis=1)
    columns = np.arange(width)
    for dy in range(min(int(radius_px), height - 1) + 1):
        half = int(np.sqrt(radius_px**2 - dy**2))
        # a disc is a stack of rows: whether a row of it touches the mask is a difference of running sums
        touched = sums[:, np.minimum(columns + half + 1, width)] > sums[:, np.maximum(columns - half, 0)]
        grown[dy:] |= touched[: height - dy]
        grown[: height - dy] |= touched[dy:]
    return grown


# ---------------------------------------------------------------------------------------------- on records
def mask_dice_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """Mean Dice of the predicted masks over all persons with a mask; see `mask_result`."""
    return mask_result("Dice", dice, truth, predictions)


def mask_dice_in_box_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """Mean Dice of what lies in each person's box, over all persons with a mask and a box; see `mask_result`."""
    return mask_result("Dice in the box", dice, truth, predictions, in_box=True)


def mask_iou_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """Mean IoU of the predicted masks over all persons with a mask; see `mask_result`."""
    return mask_result("IoU", iou, truth, predictions)


def mask_boundary_f_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """Mean contour F-measure over all persons with a mask, at 0.8 % of the image's diagonal; see `mask_result`."""
    return mask_result("boundary F", boundary_f, truth, predictions)


def mask_result(
    name: str,
    measure: Callable[[Masks, Masks], np.ndarray],
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    in_box: bool = False,
) -> MetricResult:
    """A mask measure person by person, people being index-aligned as for PCK (see `people`).

    With ``in_box`` only pixels that the annotated box touches count, and people without a box are left out and counted
    like those without a mask.

    Persons without a segmentation and crowd regions are left out and counted. The table's rows are the sizes of the
    true mask in COCO's ranges: below 32 x 32 pixels, below 96 x 96, and larger.

    Raises
    ------
    ShapeError
        Lists that do not belong together, predictions without masks, or masks of another size than the image.
    """
    check_pairs(truth, predictions)
    values, areas, unmasked, crowds = [], [], 0, 0
    for i, (record, poses) in enumerate(zip(truth, predictions, strict=True)):
        check_aligned(i, record, poses)
        for n, person in enumerate(record.persons):
            crowds += person.is_crowd
            lacking = person.segmentation is None or (in_box and person.box_xyxy is None)
            unmasked += not person.is_crowd and lacking
            if person.is_crowd or lacking:
                continue
            if poses.masks is None:
                raise ShapeError(
                    f"pair {i} ({record.image_id}): the predictions have no masks; use a model that predicts them"
                )
            true_mask = person_mask(person, record.size_wh or poses.size_wh)
            part = _touched(person.box_xyxy) if in_box and person.box_xyxy is not None else (slice(None), slice(None))
            values.append(float(measure(np.asarray(poses.masks[n])[part], true_mask[part])))
            areas.append(int(true_mask.sum()))
    value, area = np.array(values), np.array(areas)
    table: list[dict[str, Any]] = []
    for size, low, high in (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, np.inf)):
        inside = (area >= low) & (area < high)
        table.append(
            {"size": size, "value": value[inside].mean() if inside.any() else None, "count": int(inside.sum())}
        )
    return MetricResult(
        name=f"mask {name}",
        value=value.mean() if len(value) else None,
        table=table,
        details={
            "median": np.median(value) if len(value) else None,
            "persons": len(value),
            "persons_without_mask": unmasked,
            "crowds_skipped": crowds,
        },
    )


def _touched(box_xyxy: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the pixels, i from i - 1/2 to i + 1/2, that a box touches."""
    edges = np.asarray(box_xyxy, np.float64) + 0.5
    x0, y0, x1, y1 = np.maximum([*np.floor(edges[:2]), *np.ceil(edges[2:])], 0).astype(int)
    return slice(y0, y1), slice(x0, x1)


def person_mask(person: Person, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of ``person.segmentation`` (COCO polygons or RLE, rasterised by COCO's rule).

    Raises `ShapeError` for a person without one, or an RLE of another size than ``size_wh``.
    """
    if person.segmentation is None:
        raise ShapeError(f"person {person.id} has no segmentation; expected COCO polygons or RLE")
    return rle.to_mask(person.segmentation, size_wh)


# ---------------------------------------------------------------------------------------------- bricks
def _each(one: Callable[[np.ndarray, np.ndarray], np.ndarray], pred: Masks, truth: Masks) -> np.ndarray:
    if isinstance(pred, np.ndarray) and isinstance(truth, np.ndarray):
        if pred.shape != truth.shape or pred.ndim < 2:
            raise ShapeError(
                f"expected two arrays of masks (..., H, W) of the same shape, got {pred.shape} and {truth.shape}"
            )
        return np.asarray(one(pred, truth))
    if len(pred) != len(truth):
        raise ShapeError(f"expected as many predicted masks as true ones, got {len(pred)} and {len(truth)}")
    return np.array(
        [_each(one, np.asarray(p), np.asarray(t)) for p, t in zip(pred, truth, strict=True)], dtype=np.float64
    )


def _binary(mask: np.ndarray) -> np.ndarray:
    return mask >= 0.5 if np.issubdtype(mask.dtype, np.floating) else mask != 0


def _sum(values: np.ndarray) -> np.ndarray:
    return values.sum(axis=(-2, -1), dtype=np.float64)


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 1 where the whole is empty."""
    return np.divide(part, whole, out=np.ones(np.shape(part)), where=np.asarray(whole) > 0)


def _dice(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    p, t = _binary(pred), _binary(truth)
    return _over(2 * _sum(p & t), _sum(p) + _sum(t))


def _iou(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    p, t = _binary(pred), _binary(truth)
    return _over(_sum(p & t), _sum(p | t))


def _boundary_f(pred: np.ndarray, truth: np.ndarray, radius_px: float) -> float:
    p, t = contour(pred), contour(truth)
    if not p.any() or not t.any():
        return 1.0 if not p.any() and not t.any() else 0.0
    # nothing outside the rectangle around both contours can be asked about, so only that part is dilated
    part = boxes.span(p | t)
    assert part is not None
    p, t = p[part], t[part]
    precision, recall = (p & dilate(t, radius_px)).sum() / p.sum(), (t & dilate(p, radius_px)).sum() / t.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0
