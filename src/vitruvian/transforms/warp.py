"""The one place where an image is resampled: `warp` an image by an `Affine`, for training and for prediction alike.

Shrinking is anti-aliased (a triangle filter as wide as the shrink for upright and mirrored crops, a sharper one before
the bilinear lookup for rotated ones): plain bilinear lookup, the habit of this field, skips most pixels of a large
photo and makes the crop depend on sub-pixel noise.

Filters are applied as small matrix products, a few rows or columns of the result at a time, which takes 0.5 to 0.85
of the time of Pillow's resize. The lookup of rotated crops is Pillow's, so that the light core needs no OpenCV; it cuts
fractions off, which leaves those crops half a grey level darker on average. Only the part of the photo that is seen is
read.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..errors import ShapeError
from ..geometry import Affine

_SMALLEST_SHRINK = 1.25
"""Below this many photo pixels per result pixel a bilinear lookup skips next to nothing."""

_ROWS, _COLUMNS = 8, 4
"""How many of the result's rows or columns one matrix product makes (twice as many where the photo is enlarged): more
waste multiplications by 0, fewer waste calls."""

_STRIP_VALUES = 24_576
"""Values of the photo in one matrix product: in the processor's cache, and too few for BLAS to start threads over."""


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
        return _warp_upright(image, frame_to_input, size_wh, fill, mirror=False)
    mirrored = Affine.flip_horizontal(size_wh[0]) @ frame_to_input
    if mirrored.is_axis_aligned:  # a mirrored crop is filtered like a plain one
        return _warp_upright(image, mirrored, size_wh, fill, mirror=True)
    return _warp_general(image, frame_to_input, size_wh, fill, nearest=False)


def _warp_upright(
    image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int, mirror: bool
) -> np.ndarray:
    """Scale and shift only: a triangle filter along each axis. ``mirror`` turns the result left to right."""
    (sx, _, tx), (_, sy, ty) = frame_to_input.matrix.tolist()
    # Only the part of the result that sees the photo is resampled: a box far larger than the photo costs nothing.
    spans, inside = [], True
    for scale, shift, length, count in ((sx, tx, image.shape[1], size_wh[0]), (sy, ty, image.shape[0], size_wh[1])):
        reach = max(1.0, 1 / scale)
        first = max(0, math.floor(shift - scale * reach) + 1)
        last = min(count, math.ceil(shift + scale * (length - 1 + reach)))
        if last <= first:
            return np.full((size_wh[1], size_wh[0], *image.shape[2:]), fill, dtype=np.uint8)
        spans.append((first, last))
        # The edges of the result, in the photo; rounding can push those of a box that touches the photo's edge over it.
        low, high = (-0.5 - shift) / scale + 0.5, (count - 0.5 - shift) / scale + 0.5
        inside &= low >= -1e-9 * length and high <= length * (1 + 1e-9)
    # A box inside the photo is not darkened along the photo's edges. One that reaches beyond has fill around it.
    (u0, u1), (v0, v1) = spans
    columns = _axis_weights(sx, tx, image.shape[1], (u0, u1), _COLUMNS, _triangle, inside)
    rows = _axis_weights(sy, ty, image.shape[0], (v0, v1), _ROWS, _triangle, inside)
    seen = _filtered(image, rows, columns, (u1 - u0, v1 - v0), 0 if inside else fill, mirror)
    if seen.shape[:2] == size_wh[::-1]:
        return seen
    out = np.full((size_wh[1], size_wh[0], *image.shape[2:]), fill, dtype=np.uint8)
    out[v0:v1, slice(size_wh[0] - u1, size_wh[0] - u0) if mirror else slice(u0, u1)] = seen
    return out


def _triangle(distance: np.ndarray) -> np.ndarray:
    """Bilinear interpolation, as wide as the shrink."""
    return np.maximum(1 - distance, 0, out=distance)


def _hamming(distance: np.ndarray) -> np.ndarray:
    """A sinc in a Hamming window: sharper than the triangle, since a bilinear lookup follows."""
    angle = np.float32(math.pi) * np.minimum(distance, 1)
    return np.sinc(np.minimum(distance, 1)) * (np.float32(0.54) + np.float32(0.46) * np.cos(angle))


def _triangle_sums(centres: np.ndarray, reach: float) -> np.ndarray:
    """Sum of max(0, 1 - |i - centre| / reach) over all integers i, those outside of the photo too."""
    total = np.zeros_like(centres)
    for nearest in (centres - np.floor(centres), 1 - (centres - np.floor(centres))):  # to the left, to the right
        count = np.floor(reach - nearest) + 1
        total += count - (count * nearest + count * (count - 1) / 2) / reach
    return total


def _axis_weights(
    scale: float,
    shift: float,
    length: int,
    span: tuple[int, int],
    block: int,
    kernel: Callable[[np.ndarray], np.ndarray],
    whole: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """How much of which photo pixel goes into the result's pixels along one axis.

    Parameters
    ----------
    scale, shift : photo to result.
    length : pixels of the photo.
    span : first and last + 1 pixel of the result.
    block : result pixels that share a window of photo pixels, or half as many.
    kernel : weight at a distance of 0...1 reaches; 0 beyond. It may change its argument.
    whole : weights sum to 1 at the photo's edge too. Otherwise, with the triangle only, by as much less as lies beyond.

    Returns
    -------
    (B,) first photo pixel of each block's window; (B, block, window) float32 weights. The last block may go beyond the
    span.
    """
    reach = max(1.0, 1 / scale)
    block *= 2 if reach < _SMALLEST_SHRINK else 1
    blocks = -(-(span[1] - span[0]) // block)
    centres = ((np.arange(span[0], span[0] + blocks * block) - shift) / scale).reshape(blocks, block)
    window = int(min(length, math.ceil((block - 1) / scale + 2 * reach) + 1))
    starts = np.maximum(np.minimum(np.floor(centres[:, 0] - (reach - 1)), length - window), 0)
    offsets = (centres - starts[:, None]).astype(np.float32)
    distance = np.arange(window, dtype=np.float32) - offsets[:, :, None]
    distance *= np.float32(1 / reach)
    weights = kernel(np.abs(distance, out=distance))
    if whole:
        total = np.maximum(weights @ np.ones(window, np.float32), np.float32(1e-6))
    else:
        total = _triangle_sums(centres, reach).astype(np.float32)
    weights /= total[:, :, None]
    return starts.astype(np.int64), weights


def _filtered(
    image: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
    size_wh: tuple[int, int],
    fill: int,
    mirror: bool = False,
) -> np.ndarray:
    """(height, width, 3) or (height, width) uint8: the weights of `_axis_weights` applied down, then along.

    What the weights lack to a sum of 1 is ``fill``. ``mirror`` turns the result left to right.
    """
    (tops, down), (lefts, along) = rows, columns
    width, height = size_wh
    channels = 1 if image.ndim == 2 else 3
    (_, tall, deep), (count, broad, window) = down.shape, along.shape
    left, right = int(lefts[0]), int(lefts[-1]) + window
    narrowed = np.empty((len(tops) * tall, (right - left) * channels), np.float32)
    step = max(1, _STRIP_VALUES // (deep * channels))
    for start in range(left, right, step):
        end = min(start + step, right)
        strip = np.empty((deep, end - start, *image.shape[2:]), np.float32)
        flat = strip.reshape(deep, -1)
        target = narrowed[:, (start - left) * channels : (end - left) * channels]
        for j, top in enumerate(tops.tolist()):
            np.copyto(strip, image[top : top + deep, start:end])
            np.matmul(down[j], flat, out=target[j * tall : (j + 1) * tall])
    if mirror:  # the blocks from the right, and the columns of each
        lefts, along = lefts[::-1], along[::-1, ::-1]
    # Channels lie side by side in a row, so the weights along it become matrices with zeros between channels.
    spread = np.zeros((count, window, channels, broad, channels), np.float32)
    for c in range(channels):
        spread[:, :, c, :, c] = along.transpose(0, 2, 1)
    spread = spread.reshape(count, window * channels, broad * channels)
    out = np.empty((len(narrowed), count * broad * channels), np.float32)
    for j, start in enumerate(((lefts - left) * channels).tolist()):
        target = out[:, j * broad * channels : (j + 1) * broad * channels]
        np.matmul(narrowed[:, start : start + window * channels], spread[j], out=target)
    if fill:
        rest = 1 - np.outer(down.sum(2), along.sum(2))
        out.reshape(len(out), -1, channels)[:] += fill * rest[:, :, None]
    np.add(out, np.float32(0.5), out=out)  # the cast cuts fractions off
    first = count * broad - width if mirror else 0  # the last block may be longer than the result
    out = out[:height, first * channels : (first + width) * channels]
    return out.astype(np.uint8).reshape(height, width, *image.shape[2:])


def _warp_general(
    image: np.ndarray, frame_to_input: Affine, size_wh: tuple[int, int], fill: int, nearest: bool
) -> np.ndarray:
    """Any affine map: brought to about the result's scale where it shrinks, then bilinear (or nearest) lookup."""
    input_to_frame = frame_to_input.inverse()
    shrink = math.sqrt(abs(input_to_frame.determinant))
    x, y = size_wh[0] - 0.5, size_wh[1] - 0.5
    seen = input_to_frame.apply(np.array([[-0.5, -0.5], [x, -0.5], [-0.5, y], [x, y]]))
    limit, reach = np.array([image.shape[1], image.shape[0]], dtype=np.float64), 2 * max(1.0, shrink)
    left, top = np.minimum(np.maximum(np.floor(seen.min(axis=0) - reach), 0), limit).astype(int).tolist()
    right, bottom = np.minimum(np.maximum(np.ceil(seen.max(axis=0) + reach), 0), limit).astype(int).tolist()
    if right <= left or bottom <= top:
        return np.full((size_wh[1], size_wh[0], *image.shape[2:]), fill, dtype=np.uint8)
    source = image[top:bottom, left:right]
    input_to_source = Affine.translate(-left, -top) @ input_to_frame
    if shrink > _SMALLEST_SHRINK and not nearest:
        full_wh = (right - left, bottom - top)
        small_wh = (max(1, round(full_wh[0] / shrink)), max(1, round(full_wh[1] / shrink)))
        to_small = Affine.resize(full_wh, small_wh)
        (sx, _, tx), (_, sy, ty) = to_small.matrix.tolist()
        columns = _axis_weights(sx, tx, full_wh[0], (0, small_wh[0]), _COLUMNS, _hamming, whole=True)
        rows = _axis_weights(sy, ty, full_wh[1], (0, small_wh[1]), _ROWS, _hamming, whole=True)
        source = _filtered(source, rows, columns, small_wh, fill=0)
        input_to_source = to_small @ input_to_source
    linear, shift = input_to_source.matrix[:, :2], input_to_source.matrix[:, 2]
    shift = shift + 0.5 - linear @ np.array([0.5, 0.5])  # ours has centres at integers, Pillow's at halves
    data = (linear[0, 0], linear[0, 1], shift[0], linear[1, 0], linear[1, 1], shift[1])
    resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    fillcolor = fill if image.ndim == 2 else (fill,) * 3
    lookup = Image.fromarray(source).transform(size_wh, Image.Transform.AFFINE, data, resample, fillcolor=fillcolor)
    return np.array(lookup)
