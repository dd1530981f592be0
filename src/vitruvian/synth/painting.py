"""Shapes in two dimensions: everything a figure or a background is made of is a filled polygon.

Polygons are tuples of (x, y) in pixels of the finished picture (centres at integers). Pictures are painted at twice
the size and averaged down, which anti-aliases all edges at the cost of one pass.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Polygon = list[Point]
Colour = tuple[int, int, int]

OVERSAMPLING = 2
_CAP = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (-80, -48, -16, 16, 48, 80)]
_ROUND = [(math.cos(2 * math.pi * i / 14), math.sin(2 * math.pi * i / 14)) for i in range(14)]


@dataclass(frozen=True)
class Part:
    """A piece of a figure: painted whole, before or behind other pieces.

    Attributes
    ----------
    label : non-zero number of the piece in a label map; 0 for what hides a figure without belonging to it.
    depth : larger is nearer to the viewer, in pixels.
    silhouette : polygons that together are the piece's outline, painted in ``edge`` first.
    edge : colour of the rim that ``paint`` leaves uncovered.
    paint : polygons with their colours, in order, inside of the silhouette.
    """

    label: int
    depth: float
    silhouette: list[Polygon]
    edge: Colour
    paint: list[tuple[Polygon, Colour]]


def capsule(start: Point, end: Point, start_radius: float, end_radius: float) -> Polygon:
    """A rounded, tapering bar."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    ux, uy = (dx / length, dy / length) if length > 1e-6 else (1.0, 0.0)
    out = [(end[0] + end_radius * (ux * c - uy * s), end[1] + end_radius * (uy * c + ux * s)) for c, s in _CAP]
    out += [(start[0] - start_radius * (ux * c - uy * s), start[1] - start_radius * (uy * c + ux * s)) for c, s in _CAP]
    return out


def ellipse(centre: Point, first: Point, second: Point) -> Polygon:
    """An ellipse by two conjugate half axes, given as offsets."""
    (x, y), (ax, ay), (bx, by) = centre, first, second
    return [(x + ax * c + bx * s, y + ay * c + by * s) for c, s in _ROUND]


def between(start: Point, end: Point, share: float) -> Point:
    """The point at that share of the way."""
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def band(start: Point, end: Point, low: float, high: float, start_radius: float, end_radius: float) -> Polygon:
    """The slice of a tapering bar between two shares of its length, without round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    nx, ny = -dy / length, dx / length
    out = []
    for share, side in ((low, 1), (high, 1), (high, -1), (low, -1)):
        radius = (start_radius + (end_radius - start_radius) * share) * side
        x, y = between(start, end, share)
        out.append((x + nx * radius, y + ny * radius))
    return out


def tone(colour: Colour, factor: float) -> Colour:
    """A colour made darker (factor below 1) or lighter."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b


def random_colour(rng: np.random.Generator) -> Colour:
    """Any hue; greys, blacks and whites as often as in clothes."""
    saturation = rng.uniform(0, 0.25) if rng.random() < 0.35 else rng.uniform(0.2, 0.95)
    r, g, b = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.12, 1.0) ** 0.8)
    return round(255 * r), round(255 * g), round(255 * b)


def fill(draw: ImageDraw.ImageDraw, shapes: Iterable[tuple[Polygon, Colour]]) -> None:
    """Fill polygons of the finished picture on a canvas that is `OVERSAMPLING` times as large."""
    # Pixel x of the picture covers canvas pixels 2x and 2x + 1: its centre is at 2x + 0.5. Pillow cuts off the fraction
    # of coordinates; another half makes it round them.
    shift = (OVERSAMPLING - 1) / 2 + 0.5
    for polygon, colour in shapes:
        draw.polygon([(OVERSAMPLING * x + shift, OVERSAMPLING * y + shift) for x, y in polygon], fill=colour)


def paint_parts(canvas: Image.Image, parts: Iterable[Part]) -> None:
    """Paint pieces in the given order on an oversampled canvas."""
    draw = ImageDraw.Draw(canvas)
    for part in parts:
        fill(draw, ((polygon, part.edge) for polygon in part.silhouette))
        fill(draw, part.paint)


def label_map(parts: Iterable[Part], size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: the label of the foremost piece at each pixel of the finished picture, 0 where there is none."""
    canvas = Image.new("L", size_wh)
    draw = ImageDraw.Draw(canvas)
    for part in parts:
        for polygon in part.silhouette:
            draw.polygon([(x + 0.5, y + 0.5) for x, y in polygon], fill=part.label)  # rounds, see `fill`
    return np.asarray(canvas)
