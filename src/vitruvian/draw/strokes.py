"""Smooth strokes, areas and text painted straight into a uint8 array.

A stroke's coverage of a pixel comes from the distance between the pixel's centre and the stroke's axis, the usual
signed-distance antialiasing: exact enough to look as smooth as supersampling, at the cost of the pixels under the
stroke only. Long strokes are painted in bands of rows, so a diagonal does not pay for its whole bounding box.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..geometry.boxes import span
from .palette import Color, text_color

_BAND_ROWS = 32


def stroke(
    canvas: np.ndarray,
    start_px: np.ndarray | tuple[float, float],
    end_px: np.ndarray | tuple[float, float],
    radius: float,
    color: Color,
    alpha: float = 1.0,
    hole: float = 0.0,
) -> None:
    """Paint a line with round ends into ``canvas`` (H, W, 3) uint8, in place.

    Parameters
    ----------
    start_px, end_px : (x, y) of its ends; equal ends give a disc. What lies outside of the canvas is cut off.
    radius : half of its width, in pixels.
    alpha : opacity 0..1.
    hole : radius that stays free around the axis; a disc with a hole is a ring.
    """
    (ax, ay), (bx, by) = (float(v) for v in start_px), (float(v) for v in end_px)
    height, width = canvas.shape[:2]
    reach = radius + 0.5
    top = max(0, int(np.floor(min(ay, by) - reach)))
    bottom = min(height, int(np.ceil(max(ay, by) + reach)) + 1)
    dx, dy = bx - ax, by - ay
    squared = dx * dx + dy * dy
    for y0 in range(top, bottom, _BAND_ROWS):
        y1 = min(y0 + _BAND_ROWS, bottom)
        # the part of the axis that can reach rows y0 .. y1 - 1, as t in [0, 1] along it
        t0, t1 = 0.0, 1.0
        if dy:
            t0, t1 = sorted(((y0 - reach - ay) / dy, (y1 - 1 + reach - ay) / dy))
            t0, t1 = min(max(t0, 0.0), 1.0), min(max(t1, 0.0), 1.0)
        xs = ax + dx * t0, ax + dx * t1
        x0 = max(0, int(np.floor(min(xs) - reach)))
        x1 = min(width, int(np.ceil(max(xs) + reach)) + 1)
        if x1 <= x0:
            continue
        x = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(ax)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(ay)
        if squared > 0:
            along = np.clip((x * dx + y * dy) / squared, 0, 1)
            distance = np.hypot(x - along * dx, y - along * dy)
        else:
            distance = np.hypot(x, y)
        coverage = np.clip(reach - distance, 0, 1)
        if hole > 0:
            coverage *= np.clip(distance - hole + 0.5, 0, 1)
        blend(canvas[y0:y1, x0:x1], coverage * alpha, color)


def blend(region: np.ndarray, coverage: np.ndarray | float, color: Color) -> None:
    """Mix ``color`` into ``region`` (h, w, 3) uint8 in place, by ``coverage`` (h, w) or one number in 0..1."""
    if isinstance(coverage, np.ndarray):
        coverage = coverage[..., None]
    mixed = region + coverage * (np.array(color, np.float32) - region)
    region[...] = (mixed + 0.5).astype(np.uint8)


def disc(
    canvas: np.ndarray, center_px: Any, radius: float, color: Color, alpha: float = 1.0, hole: float = 0.0
) -> None:
    """Paint a disc, or a ring where ``hole`` > 0."""
    stroke(canvas, center_px, center_px, radius, color, alpha, hole)


def rectangle(canvas: np.ndarray, box_xyxy: np.ndarray, radius: float, color: Color) -> None:
    """Paint the outline of a box with lines of half-width ``radius``; the part outside of the canvas is cut off."""
    height, width = canvas.shape[:2]
    far = 4 * (width + height)  # a line ends there unseen, and its arithmetic stays small
    x0, y0, x1, y1 = (float(v) for v in np.clip(np.asarray(box_xyxy, dtype=np.float64), -far, far))
    for start, end in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
        stroke(canvas, start, end, radius, color)


def tint(canvas: np.ndarray, mask: np.ndarray, color: Color, alpha: float, outline: int) -> None:
    """Colour the pixels of ``mask`` (H, W) bool, and its rim of ``outline`` pixels opaquely."""
    window = span(mask)
    if window is None:
        return
    inside = mask[window]
    core = np.pad(inside, outline)
    for axis in (0, 1):
        shifts = range(-outline, outline + 1)
        core = np.logical_and.reduce([np.roll(core, shift, axis) for shift in shifts])
    core = core[outline:-outline, outline:-outline]
    blend(canvas[window], np.where(inside, np.where(core, alpha, 0.9), 0).astype(np.float32), color)


# --- text ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):  # a Pillow without FreeType has one small bitmap font
        return ImageFont.load_default()


def _text_coverage(words: str, size: int) -> np.ndarray:
    """(h, w) float32 0..1; the same height for all words of a size, so that baselines agree."""
    font = _font(size)
    words = ("  " if size < 16 else " ").join(words.split()) or " "  # the font's space is narrow when small
    if not isinstance(font, ImageFont.FreeTypeFont):
        words = words.encode("latin-1", "replace").decode("latin-1")  # all that the bitmap font has
    left, _, right, _ = font.getbbox(words)
    bottom = font.getbbox("Agjy")[3]
    image = Image.new("L", (max(1, int(np.ceil(right - left))), max(1, int(np.ceil(bottom)))))
    ImageDraw.Draw(image).text((-left, 0), words, fill=255, font=font)
    return np.asarray(image, dtype=np.float32) / 255


def text(
    canvas: np.ndarray, at_xy: tuple[int, int], words: str, size: int, color: Color, max_width: int | None = None
) -> None:
    """Write one line with its top left corner at ``at_xy``; cut with dots where longer than ``max_width`` pixels."""
    coverage = _text_coverage(words, size)
    kept = len(words)
    while max_width is not None and coverage.shape[1] > max_width and kept > 1:
        kept = max(1, min(kept - 1, kept * max_width // coverage.shape[1]))
        coverage = _text_coverage(words[:kept] + "...", size)
    x, y = at_xy
    height, width = canvas.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + coverage.shape[1], width), min(y + coverage.shape[0], height)
    if x1 > x0 and y1 > y0:
        blend(canvas[y0:y1, x0:x1], coverage[y0 - y : y1 - y, x0 - x : x1 - x], color)


def tag(
    canvas: np.ndarray,
    at_px: tuple[float, float],
    words: str,
    size: int,
    background: Color,
    alpha: float = 1.0,
    *,
    leftwards: bool = False,
    taken: list[tuple[float, float, float, float]] | None = None,
) -> None:
    """Words on a pill.

    Parameters
    ----------
    at_px : (x, y) of the middle of its left end, or of its right end where ``leftwards``; the pill is moved into the
        canvas if it fits there.
    taken : rectangles (x0, y0, x1, y1) of earlier pills: this one is moved up or down off them, and added.
    """
    coverage = _text_coverage(words, size)
    radius = coverage.shape[0] / 2 + max(1.0, size / 7)
    length = max(2 * radius, coverage.shape[1] + 1.5 * radius)
    height, width = canvas.shape[:2]
    x = max(0.0, min(at_px[0] - (length if leftwards else 0), width - 1 - length))
    start = max(radius, min(at_px[1], height - 1 - radius))
    for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 0):  # nowhere free: where it was wanted
        y = max(radius, min(start + step * (radius + 0.5), height - 1 - radius))
        place = (x, y - radius, x + length, y + radius)
        if not any(x < c and a < x + length and place[1] < d and b < place[3] for a, b, c, d in taken or ()):
            break
    if taken is not None:
        taken.append(place)
    stroke(canvas, (x + radius, y), (x + length - radius, y), radius, background, alpha)
    corner = round(x + length / 2 - coverage.shape[1] / 2), round(y - coverage.shape[0] / 2)
    text(canvas, corner, words, size, text_color(background))
