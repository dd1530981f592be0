"""Whole pictures: a figure placed on a random background, now and then with other people or something in front of it.

Everything about a picture follows from (seed, index): people and objects from one stream of random numbers, the
background's texture from a second one, so that annotations are made without painting a background.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ..errors import ShapeError, VitruvianError
from ..formats import rle
from ..geometry import boxes
from ..skeletons import VITRUVIAN19
from ..types import Person, Record
from .bodies import Body, Pose, pose_body
from .figures import Figure, Outfit, make_figure
from .painting import (
    OVERSAMPLING,
    Colour,
    Part,
    Point,
    Polygon,
    capsule,
    ellipse,
    fill,
    label_map,
    paint_parts,
    random_colour,
    tone,
)

_MARGIN = 0.045  # of body height: what limbs and clothes add around the outermost points


@dataclass(frozen=True)
class Scene:
    """What is in a picture, unpainted; ``behind`` and ``before`` are pieces farther and nearer than the figure."""

    size_wh: tuple[int, int]
    figure: Figure
    behind: list[Part]
    before: list[Part]


def make_scene(seed: int, index: int, size_wh: tuple[int, int]) -> Scene:
    """The scene that belongs to (seed, index): a figure that fills most of the picture and what goes with it."""
    rng = np.random.default_rng((seed, index))
    figure = _placed_figure(rng, size_wh)
    behind: list[Part] = []
    before: list[Part] = []
    if figure.pose is not None and figure.pose.action == "sitting" and rng.random() < 0.7:
        behind.append(_seat(rng, figure))
    if rng.random() < 0.25:
        (before if rng.random() < 0.3 else behind).extend(_bystander(rng, figure, size_wh))
    if rng.random() < 0.2:
        before.append(_obstacle(rng, figure))
    return Scene(size_wh, figure, behind, before)


def render(seed: int, index: int, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the picture that belongs to (seed, index)."""
    return paint(make_scene(seed, index, size_wh), np.random.default_rng((seed, index, 1)))


def paint(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a scene on a background of its own."""
    canvas = _background(rng, scene)
    paint_parts(canvas, [*scene.behind, *scene.figure.parts, *scene.before])
    return _light(rng, np.asarray(canvas.reduce(OVERSAMPLING)))


def annotate(scene: Scene) -> Person:
    """The figure as an annotated person, by COCO's rules.

    Joints outside the picture get visibility 0, those hidden behind something else, or on the far side of the body, 1.
    The box is the extent of the drawn figure inside the picture, area and mask those of what can be seen of it.
    """
    width, height = scene.size_wh
    own = label_map(scene.figure.parts, scene.size_wh)
    over = label_map(
        [Part(1, part.depth, part.silhouette, part.edge, part.paint) for part in scene.before], scene.size_wh
    )
    seen = np.where(over > 0, 0, own)
    points = scene.figure.keypoints_px
    # Rounded, a joint must name a pixel of the picture.
    inside = ((points >= -0.5) & (points < np.array([width, height]) - 0.5)).all(axis=1)
    visibility = np.where(inside, np.where(scene.figure.shown(seen), 2, 1), 0)
    mask = seen > 0
    return Person(
        keypoints_px=points,
        visibility=visibility,
        box_xyxy=boxes.around_mask(own),
        area_px=float(mask.sum()),
        segmentation=rle.encode(mask),
        extra={**_pose_of(scene.figure), "height_px": scene.figure.height_px},
    )


def _pose_of(figure: Figure) -> dict[str, Any]:
    return {} if figure.pose is None else {"action": figure.pose.action, "yaw_deg": figure.pose.yaw}


def synthetic_records(count: int, seed: int = 0, size_wh: tuple[int, int] = (160, 208)) -> list[Record]:
    """Drawn people as annotated images, for training without any download.

    Parameters
    ----------
    count : how many; the first ones of a longer list are the same.
    seed : of everything; other seeds give other people.
    size_wh : (width, height) of the pictures in pixels.

    Returns
    -------
    One record a picture with one person in the joints of `VITRUVIAN19`. ``extra["pixels"]`` is a picklable function
    without arguments that paints the picture: (H, W, 3) uint8 RGB, the same each time.

    Raises
    ------
    ShapeError
        Pictures too small for a person to be drawn.
    VitruvianError
        A negative count or seed.
    """
    size = tuple(int(side) for side in size_wh)
    if len(size) != 2 or min(size) < 48:
        raise ShapeError(f"size_wh must be (width, height) of at least 48 pixels each, got {size_wh}")
    if count < 0 or seed < 0:
        raise VitruvianError(f"count and seed must not be negative, got count {count} and seed {seed}")
    return [
        Record(
            image_path=None,
            image_id=f"synthetic-{index:06d}",
            size_wh=size,
            skeleton=VITRUVIAN19,
            persons=(annotate(make_scene(seed, index, size)),),
            source=f"synthetic (seed {seed})",
            extra={"pixels": partial(render, seed, index, size)},
        )
        for index in range(count)
    ]


# --- people and things ---------------------------------------------------------------------------------------------


def _placed_figure(rng: np.random.Generator, size_wh: tuple[int, int]) -> Figure:
    """A figure that fills 70-97 % of the picture, or is cut off by its edge with the head or the feet inside."""
    body, pose, outfit = Body.sample(rng), Pose.sample(rng), Outfit.sample(rng)
    points = np.stack(list(pose_body(body, pose).points.values()))[:, :2] * (1, -1)
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    size = np.array(size_wh, dtype=np.float64)
    cut = rng.random() < 0.12
    share = rng.uniform(1.05, 1.45) if cut else rng.uniform(0.7, 0.97)
    unit = float(share * (size / (high - low)).min())
    extent = unit * (high - low)
    corner = rng.random(2) * (size - extent)
    if cut:
        # One random end of the body on each axis stays inside, more often the upper one.
        ends = np.array([rng.random() < 0.5, rng.random() < 0.7])
        corner = np.where(size >= extent, corner, np.where(ends, 0.0, size - extent))
    pelvis = corner - unit * low - 0.5
    return make_figure(body, pose, outfit, unit, (float(pelvis[0]), float(pelvis[1])))


def _bystander(rng: np.random.Generator, figure: Figure, size_wh: tuple[int, int]) -> list[Part]:
    """Another person at the side, mostly cut off by the picture's edge; its pieces belong to nobody."""
    unit = figure.height_px * float(rng.uniform(0.8, 1.15))
    middle = figure.keypoints_px.mean(axis=0)
    side = -1.0 if middle[0] > size_wh[0] / 2 else 1.0
    x = float(middle[0]) + side * float(rng.uniform(0.26, 0.5)) * figure.height_px
    other = make_figure(Body.sample(rng), Pose.sample(rng), Outfit.sample(rng), unit, (x, float(middle[1])))
    return other.parts


def _seat(rng: np.random.Generator, figure: Figure) -> Part:
    left, right = (figure.keypoints_px[VITRUVIAN19.index(f"{side}_hip")] for side in ("left", "right"))
    (x, y), unit = (left + right) / 2, figure.height_px
    wide, deep = unit * rng.uniform(0.13, 0.26), unit * 0.34
    top, colour = y + 0.05 * unit, random_colour(rng)
    block = [(x - wide, top), (x + wide, top), (x + wide, top + deep), (x - wide, top + deep)]
    polygons = [block]
    if rng.random() < 0.4:
        polygons.append([(x - wide, y - 0.3 * unit), (x + wide, y - 0.3 * unit), (x + wide, top), (x - wide, top)])
    return Part(0, -unit, polygons, colour, [])


def _obstacle(rng: np.random.Generator, figure: Figure) -> Part:
    """A rectangle or an ellipse in front of a part of the figure, about 5-15 % of the body's extent."""
    low, high = figure.keypoints_px.min(axis=0), figure.keypoints_px.max(axis=0)
    x, y = (float(v) for v in rng.uniform(low, high))
    a, b = (float(v) * figure.height_px for v in rng.uniform(0.05, 0.16, 2))
    colour = random_colour(rng)
    if rng.random() < 0.7:
        outline: Polygon = [(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)]
    else:
        outline = ellipse((x, y), (a, 0.0), (0.0, b))
    inner = [(x + (px - x) * 0.8, y + (py - y) * 0.8) for px, py in outline]
    return Part(0, figure.height_px, [outline], colour, [(inner, tone(colour, 1.1))])


# --- background and light ------------------------------------------------------------------------------------------


def _background(rng: np.random.Generator, scene: Scene) -> Image.Image:
    """Oversampled canvas: a gradient or coarse noise, then blocks and limb-like bars, some in the figure's colours."""
    width, height = scene.size_wh
    canvas_wh = (width * OVERSAMPLING, height * OVERSAMPLING)
    cells = (2, 2) if rng.random() < 0.5 else (int(rng.integers(3, 14)), int(rng.integers(3, 14)))
    base = np.array([random_colour(rng) for _ in range(2)], dtype=np.float64)
    mix = rng.random((*cells, 1))
    coarse = base[0] * mix + base[1] * (1 - mix) + rng.normal(0, rng.uniform(3, 25), (*cells, 3))
    small = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
    method = Image.Resampling.NEAREST if rng.random() < 0.15 else Image.Resampling.BILINEAR
    canvas = small.resize(canvas_wh, method)
    own = [colour for part in scene.figure.parts for _, colour in part.paint[:1]]
    shapes: list[tuple[Polygon, Colour]] = []
    for _ in range(rng.integers(0, 7)):
        shapes.append((_block(rng, width, height), random_colour(rng)))
    for _ in range(rng.integers(0, 8)):
        colour = own[rng.integers(len(own))] if rng.random() < 0.4 else random_colour(rng)
        shapes.append((_bar(rng, width, height), colour))
    if len(shapes) > 1:
        shapes = [shapes[i] for i in rng.permutation(len(shapes))]
    fill(ImageDraw.Draw(canvas), shapes)
    return canvas


def _block(rng: np.random.Generator, width: int, height: int) -> Polygon:
    x, y = rng.random(2) * (width, height)
    a, b = rng.uniform(0.04, 0.4, 2) * (width, height)
    lean = rng.normal(0, 0.15) * a
    return [(x - a, y - b), (x + a - lean, y - b), (x + a, y + b), (x - a + lean, y + b)]


def _bar(rng: np.random.Generator, width: int, height: int) -> Polygon:
    start = rng.random(2) * (width, height)
    end = start + rng.normal(0, 0.22, 2) * (height, height)
    radii = rng.uniform(0.008, 0.04, 2) * height
    return capsule(_point(start), _point(end), float(radii[0]), float(radii[1]))


def _point(xy: np.ndarray) -> Point:
    return float(xy[0]), float(xy[1])


def _light(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Uneven light over the picture, its overall brightness, and grain."""
    height, width = picture.shape[:2]
    coarse = (rng.uniform(0.7, 1.1) + rng.uniform(-0.15, 0.15, (4, 3))) * 128
    field = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    lit = (picture.astype(np.uint16) * np.asarray(field, dtype=np.uint16)[..., None]) >> 7
    strength = int(rng.integers(0, 24))
    if strength:
        # Uniform grain of +- strength / 2: bytes are many times cheaper to draw than normal floats.
        grain = rng.integers(0, strength + 1, picture.shape, dtype=np.uint8)
        lit = np.maximum(lit + grain, strength // 2) - strength // 2
    return np.minimum(lit, 255).astype(np.uint8)
