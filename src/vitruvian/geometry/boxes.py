"""Boxes as (N, 4) float arrays (x0, y0, x1, y1) in pixels: the only form used inside the package.

A box is its two edges on the same axis as pixel centres, so a box around pixels 3..5 is (2.5, ..., 5.5, ...), and
``x1 - x0`` is its width. COCO's (x, y, w, h) is converted at the door, by `xywh_to_xyxy`.
"""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError


def as_boxes(boxes_xyxy: object) -> np.ndarray:
    """(N, 4) float64 from anything box-like; `ShapeError` on another shape, NaN, or x1 < x0."""
    try:
        boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"boxes must be numbers in the shape (N, 4), got {boxes_xyxy!r}") from error
    if boxes.shape == (0,):
        return np.zeros((0, 4))
    if boxes.ndim == 1 and boxes.shape == (4,):
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"boxes must have the shape (N, 4) as x0, y0, x1, y1 in pixels, got {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise ShapeError(f"boxes must be finite, got {boxes[~np.isfinite(boxes).all(axis=1)][0].tolist()}")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        bad = boxes[(boxes[:, 2:] < boxes[:, :2]).any(axis=1)][0].tolist()
        raise ShapeError(f"boxes are x0, y0, x1, y1 with x1 >= x0 and y1 >= y0, got {bad}; is it x, y, width, height?")
    return boxes


def xywh_to_xyxy(boxes_xywh: np.ndarray) -> np.ndarray:
    """(..., 4) corner and size -> corner and corner (COCO's files hold the former)."""
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def xyxy_to_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(..., 4) corner and corner -> corner and size."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def area(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(...,) areas in square pixels."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def clip(boxes_xyxy: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Boxes cut to an image of (w, h) pixels, whose edges are -0.5 and w - 0.5."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    low, high = np.array([-0.5, -0.5]), np.array(size_wh, dtype=np.float64) - 0.5
    return np.concatenate([np.clip(boxes[..., :2], low, high), np.clip(boxes[..., 2:], low, high)], axis=-1)


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of every pair; 0 where both are empty."""
    a, b = np.asarray(a_xyxy, dtype=np.float64), np.asarray(b_xyxy, dtype=np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = area(a)[:, None] + area(b)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def around_points(points_px: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """(4,) the box around the finite points of (K, 2), each side moved out by ``margin`` x the longer side.

    Raises `ShapeError` when no point is finite.
    """
    points = np.asarray(points_px, dtype=np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        raise ShapeError("cannot draw a box around no points: none of the joints is labelled")
    low, high = points.min(axis=0), points.max(axis=0)
    pad = margin * float((high - low).max())
    return np.concatenate([low - pad, high + pad])


def span(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and the columns of an (H, W) array that hold what is set in it; None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def around_mask(mask: np.ndarray) -> np.ndarray:
    """(4,) the box of what is set in an (H, W) array: outer edges of its pixels. NaN where nothing is."""
    part = span(mask)
    if part is None:
        return np.full(4, np.nan)
    rows, columns = part
    return np.array([columns.start, rows.start, columns.stop, rows.stop]) - 0.5


def whole_image(size_wh: tuple[int, int]) -> np.ndarray:
    """(4,) the box that is an image of (w, h) pixels."""
    return np.array([-0.5, -0.5, size_wh[0] - 0.5, size_wh[1] - 0.5])


def expand_to_aspect(box_xyxy: np.ndarray, aspect: float, padding: float) -> np.ndarray:
    """(4,) a box grown about its centre to ``aspect`` = width / height, then by the factor ``padding``.

    The crop of top-down pose estimation (Xiao et al., ECCV 2018, section 3): it never shrinks a side, so the person
    stays inside. A box without area becomes one pixel wide or high first, so a crop always exists.
    """
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    width, height = max(width, height * aspect), max(height, width / aspect)
    half_w, half_h = width * padding / 2, height * padding / 2
    return np.array([cx - half_w, cy - half_h, cx + half_w, cy + half_h])
