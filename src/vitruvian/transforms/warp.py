"""The one place where an image is resampled: `warp` an image by an `Affine`, for training and for prediction alike.

Built on Pillow, so that the light core needs no OpenCV. Shrinking is anti-aliased (a triangle filter as wide as the
shrink for upright and mirrored crops, a resize before the bilinear lookup for rotated ones): plain bilinear lookup,
the habit of this field, skips most pixels of a large photo and makes the crop depend on sub-pixel noise.

Only the part of the photo that is seen is handed to Pillow, which would otherwise copy all of a large photo for every
person in it. Pillow's bilinear lookup cuts fractions off, so rotated crops are half a grey level darker on average.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..errors import ShapeError
from ..geometry import Affine

_SMALLEST_SHRINK = 1.25
"""Below this many photo pixels per result pixel a bilinear lookup skips next to nothing."""

_LARGEST_SHRINK = 64.0
"""Beyond this many photo pixels per result pixel the photo is averaged over cells first, which bounds the memory."""


def warp(
    image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int = 0, nearest: bool = False
) -> np.ndarray:
    """Resample an image so that its pixel at p appears at ``frame_to_input.apply(p)``.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8.
    frame_to_input : map from ``image``'s pixels to the result's (centres at integers).
    size_wh : (width, height) of the result.
    fill : value of pixels that lie outside ``image``.
    nearest : take the nearest pixel instead of interpolating: for masks and labels.

    Returns
    -------
    (height, width, 3) or (height, width) uint8, contiguous and the caller's own.

    Raises
    ------
    ShapeError
        Another dtype or shape, an empty image, or a map without an inverse.
    """
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or 0 in image.shape
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        raise ShapeError(f"an image must be uint8 (H, W, 3) or (H, W) and not empty, got {image.dtype} {image.shape}")
    if nearest:
        return _warp_general(image, frame_to_input, size_wh, fill, nearest=True)
    if frame_to_input.is_axis_aligned:
        return _warp_upright(image, frame_to_input, size_wh, fill)
    mirrored = Affine.flip_horizontal(size_wh[0]) @ frame_to_input
    if mirrored.is_axis_aligned:  # a mirrored crop is filtered like a plain one
        return np.ascontiguousarray(_warp_upright(image, mirrored, size_wh, fill)[:, ::-1])
    return _warp_general(image, frame_to_input, size_wh, fill, nearest=False)


def _warp_upright(image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int) -> np.ndarray:
    """Scale and shift only: Pillow's separable resampling of a sub-pixel box."""
    shrink_x, shrink_y = 1 / frame_to_input.matrix[0, 0], 1 / frame_to_input.matrix[1, 1]
    if max(shrink_x, shrink_y) > _LARGEST_SHRINK:
        cell_wh = (max(1, int(4 * shrink_x / _LARGEST_SHRINK)), max(1, int(4 * shrink_y / _LARGEST_SHRINK)))
        image = _cell_means(image, cell_wh, fill)
        frame_to_input = frame_to_input @ Affine.resize((1, 1), cell_wh)
    width, height = image.shape[1], image.shape[0]
    out = np.full((size_wh[1], size_wh[0], *image.shape[2:]), fill, dtype=np.uint8)
    (sx, _, tx), (_, sy, ty) = frame_to_input.matrix
    # Only the part of the result that sees the photo is resampled: a box far larger than the photo costs nothing.
    spans = []
    for scale, shift, source, target in ((sx, tx, width, size_wh[0]), (sy, ty, height, size_wh[1])):
        first = max(0, math.ceil(scale * -0.5 + shift - 0.5))
        last = min(target - 1, math.floor(scale * (source - 0.5) + shift + 0.5))
        if last < first:
            return out
        spans.append((first, last + 1))
    (u0, u1), (v0, v1) = spans
    # The source box of those result pixels, in Pillow's coordinates (edges at integers: ours plus one half).
    x0, x1 = ((u - 0.5 - tx) / sx + 0.5 for u in (u0, u1))
    y0, y1 = ((v - 0.5 - ty) / sy + 0.5 for v in (v0, v1))
    # A box inside the photo is read with one filter radius around it. One that reaches beyond gets fill around it.
    reach_x, reach_y = math.ceil(max(1.0, 1 / sx)) + 1, math.ceil(max(1.0, 1 / sy)) + 1
    left, top = math.floor(x0) - reach_x, math.floor(y0) - reach_y
    right, bottom = math.ceil(x1) + reach_x, math.ceil(y1) + reach_y
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    region = Image.fromarray(_region(image, (left, top, right, bottom), fill))
    # Floating-point noise can push the box a hair over the edge, which Pillow refuses.
    box = (max(x0 - left, 0.0), max(y0 - top, 0.0), min(x1 - left, region.width), min(y1 - top, region.height))
    out[v0:v1, u0:u1] = np.asarray(region.resize((u1 - u0, v1 - v0), Image.Resampling.BILINEAR, box=box))
    return out


def _warp_general(
    image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int, nearest: bool
) -> np.ndarray:
    """Any affine map: brought to about the result's scale where it shrinks, then bilinear (or nearest) lookup."""
    input_to_frame = frame_to_input.inverse()
    shrink = math.sqrt(abs(input_to_frame.determinant))
    x, y = size_wh[0] - 0.5, size_wh[1] - 0.5
    seen = input_to_frame.apply(np.array([[-0.5, -0.5], [x, -0.5], [-0.5, y], [x, y]]))
    limit, reach = np.array([image.shape[1], image.shape[0]], dtype=np.float64), 2 * max(1.0, shrink)
    left, top = np.clip(np.floor(seen.min(axis=0) - reach), 0, limit).astype(int)
    right, bottom = np.clip(np.ceil(seen.max(axis=0) + reach), 0, limit).astype(int)
    if right <= left or bottom <= top:
        return np.full((size_wh[1], size_wh[0], *image.shape[2:]), fill, dtype=np.uint8)
    source = Image.fromarray(image[top:bottom, left:right])
    input_to_source = Affine.translate(-left, -top) @ input_to_frame
    if shrink > _SMALLEST_SHRINK and not nearest:
        full_wh = source.size
        small_wh = (max(1, round(full_wh[0] / shrink)), max(1, round(full_wh[1] / shrink)))
        source = source.resize(small_wh, Image.Resampling.HAMMING, reducing_gap=2.0)
        input_to_source = Affine.resize(full_wh, small_wh) @ input_to_source
    linear, shift = input_to_source.matrix[:, :2], input_to_source.matrix[:, 2]
    shift = shift + 0.5 - linear @ np.array([0.5, 0.5])  # ours has centres at integers, Pillow's at halves
    data = (linear[0, 0], linear[0, 1], shift[0], linear[1, 0], linear[1, 1], shift[1])
    resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    fillcolor = fill if image.ndim == 2 else (fill,) * 3
    return np.array(source.transform(size_wh, Image.Transform.AFFINE, data, resample, fillcolor=fillcolor))


def _region(image: np.ndarray, box: tuple[int, int, int, int], fill: int) -> np.ndarray:
    """Columns left...right and rows top...bottom of an image, ``fill`` where they lie outside of it."""
    left, top, right, bottom = box
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] == (bottom - top, right - left):
        return inside
    region = np.full((bottom - top, right - left, *image.shape[2:]), fill, dtype=np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    region[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return region


def _cell_means(image: np.ndarray, cell_wh: tuple[int, int], fill: int) -> np.ndarray:
    """Means over cells of (w, h) pixels; the last cells hold ``fill`` where they stick out of the image."""
    width, height = cell_wh
    sums = np.add.reduceat(image, np.arange(0, image.shape[0], height), axis=0, dtype=np.int64)
    sums = np.add.reduceat(sums, np.arange(0, image.shape[1], width), axis=1)
    rows = np.minimum(height, image.shape[0] - np.arange(0, image.shape[0], height))
    columns = np.minimum(width, image.shape[1] - np.arange(0, image.shape[1], width))
    missing = float(width * height) - rows[:, None] * columns
    missing = missing if image.ndim == 2 else missing[..., None]
    return ((sums + missing * fill) / (width * height) + 0.5).astype(np.uint8)
