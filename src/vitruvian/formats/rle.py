"""Masks as COCO stores them: polygons, and run lengths as numbers or as a string.

The algorithms are those of COCO's mask API (github.com/cocodataset/cocoapi, common/maskApi.c, commit 8c9bcc3, Lin and
Dollár), written anew for numpy; results are equal to it bit for bit:

- Runs go down the columns (Fortran order) and begin with the zeros.
- The string holds the third and later runs as differences to the run two before, in groups of five bits, lowest
  first, each as one character from ``"0"`` on; bit 5 says that another group follows, bit 4 of the last is the sign.
- A polygon is traced on a grid five times finer. Where the trace passes from one fine column to the next in the middle
  of a pixel's column, everything below toggles.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

from ..errors import ShapeError

_FINE = 5  # steps a pixel of the trace


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths of a mask.

    Parameters
    ----------
    mask : (H, W), anything that is not 0 is inside.

    Returns
    -------
    ``{"size": [H, W], "counts": [...]}`` with plain integers; `compress` makes COCO's string of ``counts``.

    Raises
    ------
    ShapeError
        Not two axes.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ShapeError(f"a mask must have the shape (H, W), got {mask.shape}")
    flat = (mask != 0).T.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], turns, [flat.size]])).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": counts}


def decode(rle: dict[str, Any]) -> np.ndarray:
    """(H, W) bool mask of run lengths, whose ``counts`` are a list of numbers or COCO's string (or its bytes).

    Raises
    ------
    ShapeError
        Keys missing, counts that are not such, or that do not add up to H x W.
    """
    try:
        height, width = (int(n) for n in rle["size"])
        counts = rle["counts"]
    except (KeyError, TypeError, ValueError) as error:
        raise ShapeError(f"run lengths need 'size': [height, width] and 'counts', got {rle!r:.80}") from error
    if isinstance(counts, str | bytes):
        counts = decompress(counts)
    try:
        runs = np.asarray(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ShapeError(f"'counts' must be whole numbers or COCO's string, got {counts!r:.80}") from error
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != height * width:
        raise ShapeError(
            f"'counts' must be runs >= 0 that add up to {height} x {width} = {height * width}, "
            f"got {runs.size} that add up to {int(runs.sum())}"
        )
    inside = np.arange(runs.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(width, height).T)


def compress(counts: Sequence[int]) -> str:
    """COCO's string of run lengths."""
    characters = []
    for i, run in enumerate(counts):
        rest = int(run) - (int(counts[i - 2]) if i > 2 else 0)
        while True:
            group, rest = rest & 31, rest >> 5
            # The last group's bit 4 is read as the sign, so it must agree with what is left (0 or -1).
            last = rest == (-1 if group & 16 else 0)
            characters.append(chr(48 + group + (0 if last else 32)))
            if last:
                break
    return "".join(characters)


def decompress(text: str | bytes) -> list[int]:
    """Run lengths of COCO's string; `ShapeError` where it has other characters or ends too early."""
    codes = text if isinstance(text, bytes) else text.encode("ascii", errors="replace")
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        group = code - 48
        if not 0 <= group < 64:
            raise ShapeError(f"run lengths have the character {chr(code)!r}, expected '0' to 'o'")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ShapeError("run lengths end in the middle of a number: is the string cut off?")
    return counts


class PackedMasks:
    """(N, H, W) bool masks kept as run lengths, some hundred bytes each: for the results of very many images.

    Read it like the array, one mask at a time: ``len``, iteration, and a number as index; each reading decodes. A
    slice, a list or an array of indices, or a mask (N,) picks some of them, which stay packed.

    Attributes
    ----------
    shape : (N, H, W).
    run_lengths : COCO's compressed form of each mask.
    """

    def __init__(self, masks: np.ndarray) -> None:
        self.shape = masks.shape
        self.run_lengths = packed(masks)

    def __len__(self) -> int:
        return len(self.run_lengths)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> PackedMasks: ...

    def __getitem__(self, index: Any) -> np.ndarray | PackedMasks:
        if isinstance(index, int | np.integer):
            return decode(self.run_lengths[index])
        picked = copy.copy(self)
        picked.run_lengths = [self.run_lengths[i] for i in np.arange(len(self))[index]]
        picked.shape = (len(picked.run_lengths), *self.shape[1:])
        return picked


def packed(masks: np.ndarray | PackedMasks) -> list[dict[str, Any]]:
    """Each of (N, H, W) masks as ``{"size": [H, W], "counts": "..."}``, COCO's compressed run lengths."""
    if isinstance(masks, PackedMasks):
        return masks.run_lengths
    encoded = [encode(mask) for mask in masks]
    return [{**lengths, "counts": compress(lengths["counts"])} for lengths in encoded]


def from_polygons(polygons: Iterable[Sequence[float]], size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the union of polygons, rasterised as COCO does.

    Parameters
    ----------
    polygons : flat lists x0, y0, x1, y1, ... of three or more corners, in COCO's pixels; may leave the image.
    size_wh : the image's (width, height).

    Raises
    ------
    ShapeError
        A polygon with fewer than three corners, an odd count of numbers, or numbers that are not finite.
    """
    width, height = size_wh
    mask = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=np.float64)
        if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or not np.isfinite(corners).all():
            raise ShapeError(f"a polygon needs three or more finite x, y pairs in a flat list, got {corners.shape}")
        _fill(corners.reshape(-1, 2), mask)
    return mask


def to_mask(segmentation: Any, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W) bool mask of what `Person.segmentation` holds: polygons, or run lengths of the image's size.

    Raises
    ------
    ShapeError
        Neither of the two, or run lengths of another size than ``size_wh``.
    """
    if isinstance(segmentation, dict):
        mask = decode(segmentation)
        if mask.shape != (size_wh[1], size_wh[0]):
            raise ShapeError(f"the mask is {mask.shape[1]} x {mask.shape[0]}, the image {size_wh[0]} x {size_wh[1]}")
        return mask
    if not isinstance(segmentation, list | tuple):
        raise ShapeError(f"a segmentation is a list of polygons or run lengths, got {type(segmentation).__name__}")
    return from_polygons(segmentation, size_wh)


def _fill(corners_px: np.ndarray, mask: np.ndarray) -> None:
    """Set the pixels of one polygon (P, 2) in ``mask`` (H, W) bool."""
    height, width = mask.shape
    u, v = _trace(np.trunc(corners_px * _FINE + 0.5))
    passes = u[1:] != u[:-1]
    here, before = u[1:][passes], u[:-1][passes]
    column = (np.where(here < before, here, here - 1) + 0.5) / _FINE - 0.5
    row = (np.minimum(v[1:], v[:-1])[passes] + 0.5) / _FINE - 0.5
    middle = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    if not middle.any():
        return
    column, row = column[middle].astype(np.int64), np.ceil(np.clip(row[middle], 0, height)).astype(np.int64)
    left, right = int(column.min()), int(column.max()) + 1
    # One toggle at (column, row) swaps inside and outside for all that follows, down the columns; each column has an
    # even number (the last may be the first row of the next), so the columns left and right are not touched.
    toggles = np.bincount((column - left) * height + row, minlength=(right - left) * height + 1)
    inside = np.cumsum(toggles[: (right - left) * height].astype(np.uint8), dtype=np.uint8) & 1  # wrapping keeps parity
    mask[:, left:right] |= inside.astype(bool).reshape(right - left, height).T


def _trace(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grid points (u, v) along the closed outline of whole-numbered corners (P, 2), one a step of the longer axis."""
    ends = np.roll(corners, -1, axis=0)
    length = np.abs(ends - corners)
    axis = (length[:, 1] > length[:, 0]).astype(np.int64)  # the longer axis of each side: 0 is x
    sides = np.arange(len(corners))
    steps = length[sides, axis]
    # Each side is walked from its smaller end, so that a side shared by two polygons gets the same points in both.
    backwards = corners[sides, axis] > ends[sides, axis]
    low = np.where(backwards[:, None], ends, corners)
    high = np.where(backwards[:, None], corners, ends)
    rise = high[sides, 1 - axis] - low[sides, 1 - axis]
    slope = np.divide(rise, steps, out=np.zeros_like(rise), where=steps > 0)

    points = steps.astype(np.int64) + 1
    side = np.repeat(sides, points)
    step = np.arange(points.sum()) - np.repeat(np.cumsum(points) - points, points)
    t = np.where(backwards[side], steps[side] - step, step)
    along = low[side, axis[side]] + t
    # Truncation, not floor: it differs left of and above the image, and the reference truncates.
    across = np.trunc(low[side, 1 - axis[side]] + slope[side] * t + 0.5)
    is_x = axis[side] == 0
    return np.where(is_x, along, across), np.where(is_x, across, along)
