"""`stack_figure`: what each stack of an hourglass says of each joint, below what it should say.

System 3 looks at its networks this way (rows are stacks, columns are joints). The colours are our own ramp through
Björn Ottosson's OKLab ("A perceptual color space for image processing", 2020): lightness rises in a straight line, so
that equal steps of a map are equal steps to the eye, in print without colour and to colour-blind eyes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from ..errors import ShapeError
from . import palette, strokes

_PAPER = (26, 28, 34)
_INK = (222, 224, 230)
_FAINT = (130, 134, 146)
_LIGHTNESS = (0.25, 0.95)
_HUE_DEGREES = (-80.0, 105.0)  # from violet over red and orange to yellow
_CHROMA = 0.17
_TO_LMS = np.array([[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728],
                    [1.0, -0.0894841775, -1.2914855480]])  # fmt: skip
_TO_LINEAR = np.array([[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
                       [-0.0041960863, -0.7034186147, 1.7076147010]])  # fmt: skip


def stack_figure(
    crop: np.ndarray, stacks: np.ndarray, truth: np.ndarray, names: Sequence[str], *, tile_px: int = 96
) -> np.ndarray:
    """Heatmaps over the dimmed crop: the first row is the truth, then one row a stack; one column a joint.

    Each map has its peak's height in the corner of its tile. Values are shown from 0 to 1 alike in all tiles, so that
    a faint map looks faint.

    Parameters
    ----------
    crop : (H, W, 3) uint8 RGB, the network's input.
    stacks : (S, K, h, w) heatmaps with peaks of about 1, by stack; values outside of 0..1 are cut.
    truth : (K, h, w) the targets; a joint without one has an empty map.
    names : K joint names.
    tile_px : longer side of a tile.

    Returns
    -------
    (H', W', 3) uint8 RGB.

    Raises
    ------
    ShapeError
        Arrays or names that do not belong together.
    """
    stacks, truth = np.asarray(stacks, np.float32), np.asarray(truth, np.float32)
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise ShapeError(f"the crop must be (H, W, 3) uint8 RGB, got {crop.shape} {crop.dtype}")
    if stacks.ndim != 4 or stacks.shape[1:] != truth.shape or len(names) != len(truth) or not stacks.size:
        raise ShapeError(
            f"expected stacks (S, K, h, w), truth (K, h, w) and K names, got {stacks.shape}, {truth.shape} and "
            f"{len(names)} names"
        )
    if tile_px < 8:
        raise ShapeError(f"tile_px must be 8 pixels or more, got {tile_px}")
    scale = tile_px / max(crop.shape[:2])
    tile_h, tile_w = (max(1, round(side * scale)) for side in crop.shape[:2])
    small = Image.fromarray(crop).resize((tile_w, tile_h), Image.Resampling.BICUBIC, reducing_gap=3.0)
    dimmed = dim(small)
    size = int(np.clip(tile_px / 8, 9, 16))
    gap, line, label_w = 3, round(1.5 * size), 5 * size
    rows = [("truth", truth), *((f"stack {i}", maps) for i, maps in enumerate(stacks, start=1))]
    picture = np.empty(
        (line + len(rows) * (tile_h + gap) + gap, label_w + len(names) * (tile_w + gap) + gap, 3), np.uint8
    )
    picture[...] = _PAPER
    for k, caption in enumerate(captions(names, size, tile_w)):
        x = label_w + gap + k * (tile_w + gap)
        strokes.text(picture, (x, gap), caption, size, _INK if truth[k].max() > 0 else _FAINT, max_width=tile_w)
    for row, (label, maps) in enumerate(rows):
        y = line + gap + row * (tile_h + gap)
        strokes.text(picture, (gap, y + tile_h // 2 - size // 2), label, size, _INK, max_width=label_w - gap)
        for k, heatmap in enumerate(maps):
            x = label_w + gap + k * (tile_w + gap)
            tile = picture[y : y + tile_h, x : x + tile_w]
            tile[...] = tinted(dimmed, heatmap)
            peak, small_size = f"{heatmap.max():.2f}", max(9, size - 2)
            strokes.text(tile, (3, 2), peak, small_size, palette.DARK)  # a shadow, for bright maps
            strokes.text(tile, (2, 1), peak, small_size, _INK if heatmap.max() > 0 else _FAINT)
    return picture


def ramp() -> np.ndarray:
    """(256, 3) uint8 RGB, from dark violet to light yellow in equal steps of lightness."""
    return _ramp().copy()


@lru_cache(maxsize=1)
def _ramp() -> np.ndarray:
    along = np.linspace(0, 1, 256)
    lightness = _LIGHTNESS[0] + (_LIGHTNESS[1] - _LIGHTNESS[0]) * along
    hue = np.deg2rad(_HUE_DEGREES[0] + (_HUE_DEGREES[1] - _HUE_DEGREES[0]) * along)
    chroma = np.full(256, _CHROMA)
    for _ in range(60):  # what a screen cannot show loses colour, never lightness
        linear = _linear_rgb(lightness, chroma, hue)
        outside = ((linear < 0) | (linear > 1)).any(axis=1)
        chroma = np.where(outside, chroma * 0.97, chroma)
    # Smooth, and nowhere more colourful than a screen: the mean of the least of each neighbourhood.
    least = np.lib.stride_tricks.sliding_window_view(np.pad(chroma, 8, mode="edge"), 17).min(axis=1)
    chroma = np.convolve(np.pad(least, 8, mode="edge"), np.ones(17) / 17, mode="valid")
    linear = np.clip(_linear_rgb(lightness, chroma, hue), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def _linear_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """(N, 3) linear sRGB of OKLCh colours; outside 0..1 where there is no such colour."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return (lab @ _TO_LMS.T) ** 3 @ _TO_LINEAR.T


def dim(picture: Image.Image, light: float = 0.35) -> np.ndarray:
    """(h, w, 3) float32: a photo without colours and dark, to lie beneath a map."""
    return np.asarray(picture.convert("L"), np.float32)[..., None] * np.float32(light) * np.ones(3, np.float32)


def opacity(value: np.ndarray, most: float = 1.0) -> np.ndarray:
    """How much of the photo a map of values 0..1 hides, 0..``most``."""
    return most * np.minimum(1, 2.5 * value)


def tinted(dimmed: np.ndarray, heatmap: np.ndarray, most: float = 1.0) -> np.ndarray:
    """(h, w, 3) uint8: the map's colours over the photo, which shows through where the map is low.

    With ``most`` below 1 it does so everywhere, as maps need that may be high all over.
    """
    height, width = dimmed.shape[:2]
    # Pillow's rule of pixel edges is ours of pixel centres: a map's pixel u lies at (u + 0.5) stride - 0.5.
    enlarged = Image.fromarray(np.clip(np.nan_to_num(heatmap), 0, 1)).resize((width, height), Image.Resampling.BILINEAR)
    value = np.clip(np.asarray(enlarged), 0, 1)
    colors = _ramp()[np.round(255 * value).astype(int)].astype(np.float32)
    hidden = opacity(value, most)[..., None]
    return (dimmed * (1 - hidden) + colors * hidden + 0.5).astype(np.uint8)


def captions(names: Sequence[str], size: int, width_px: int) -> list[str]:
    """Names as words, all with ``L`` and ``R`` where there is too little room for some ``left shoulder``."""
    words = [name.replace("_", " ") for name in names]
    if max(map(len, words)) * 0.6 * size <= width_px:
        return words
    return [name.replace("left ", "L ").replace("right ", "R ") for name in words]
