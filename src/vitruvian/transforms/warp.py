"""The one place where an image is resampled: `warp` an image by an `Affine`, for training and for prediction alike.

Built on Pillow, so that the light core needs no OpenCV. Shrinking is anti-aliased (a triangle filter as wide as the
shrink for upright crops, a box reduction before the bilinear lookup for rotated ones): plain bilinear lookup, the
habit of this field, skips most pixels of a large photo and makes the crop depend on sub-pixel noise.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..errors import ShapeError
from ..geometry import Affine


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
    (height, width, 3) or (height, width) uint8.

    Raises
    ------
    ShapeError
        Another dtype or shape, or an empty image.
    """
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or 0 in image.shape
        or (image.ndim == 3 and image.shape[2] != 3)
    ):
        raise ShapeError(f"an image must be uint8 (H, W, 3) or (H, W) and not empty, got {image.dtype} {image.shape}")
    if frame_to_input.is_axis_aligned and not nearest:
        return _warp_upright(image, frame_to_input, size_wh, fill)
    return _warp_general(image, frame_to_input, size_wh, fill, nearest)


def _warp_upright(image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int) -> np.ndarray:
    """Scale and shift only: Pillow's separable resampling of a sub-pixel box."""
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
    box = (
        (u0 - 0.5 - tx) / sx + 0.5,
        (v0 - 0.5 - ty) / sy + 0.5,
        (u1 - 0.5 - tx) / sx + 0.5,
        (v1 - 0.5 - ty) / sy + 0.5,
    )
    source = Image.fromarray(image)
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
        # Surround only the region that is read, one filter radius wider than the box, so that a person at the edge of
        # a large photo does not cost a copy of it.
        reach_x, reach_y = math.ceil(max(1.0, 1 / sx)) + 1, math.ceil(max(1.0, 1 / sy)) + 1
        left, top = math.floor(box[0]) - reach_x, math.floor(box[1]) - reach_y
        right, bottom = math.ceil(box[2]) + reach_x, math.ceil(box[3]) + reach_y
        region = Image.new(source.mode, (right - left, bottom - top), fill if image.ndim == 2 else (fill,) * 3)
        inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        region.paste(source.crop(inside), (inside[0] - left, inside[1] - top))
        source = region
        box = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    # Floating-point noise can push the box a hair over the edge, which Pillow refuses.
    box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], source.width), min(box[3], source.height))
    out[v0:v1, u0:u1] = np.asarray(source.resize((u1 - u0, v1 - v0), Image.Resampling.BILINEAR, box=box))
    return out


def _warp_general(
    image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int, nearest: bool
) -> np.ndarray:
    """Any affine map: box reduction where the map shrinks, then bilinear (or nearest) lookup."""
    input_to_frame = frame_to_input.inverse()
    source = Image.fromarray(image)
    shrink = math.sqrt(abs(input_to_frame.determinant))
    if shrink >= 2 and not nearest:
        factor = min(int(shrink), image.shape[0], image.shape[1])
        source = source.reduce(factor)
        # Image.reduce keeps a partial last cell, so the map is exactly that of a shrink by the factor.
        input_to_frame = Affine.resize((factor, factor), (1, 1)) @ input_to_frame
    linear, shift = input_to_frame.matrix[:, :2], input_to_frame.matrix[:, 2]
    shift = shift + 0.5 - linear @ np.array([0.5, 0.5])  # ours has centres at integers, Pillow's at halves
    data = (linear[0, 0], linear[0, 1], shift[0], linear[1, 0], linear[1, 1], shift[1])
    resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    fillcolor = fill if image.ndim == 2 else (fill,) * 3
    return np.asarray(source.transform(size_wh, Image.Transform.AFFINE, data, resample, fillcolor=fillcolor))
