"""Generated surroundings: a floor and a wall in perspective or a loose picture, things to stand about, light.

Everything is drawn from the given generator and made by code; no picture of anybody is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ...data.images import read_image
from ...geometry.cameras import Camera
from . import rotations as rot
from .meshes import Mesh, Surface, box, moved, spindle
from .painted import rgb_of
from .render import Light

_SUITED = 0.75  # of the way to the photo's brightness, in logarithms: not everything brightest is white
_TINTED = 0.3  # and to its tint, which may well be that of a meadow
_GREY = 3.0  # mean difference between a grey photo's channels, left by compression


def wall_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Paler than clothes, as walls, floors and furniture mostly are."""
    return rgb_of(rng.random(), rng.uniform(0, 1) ** 2 * 0.8, rng.uniform(0.15, 0.98))


def sample_light(rng: np.random.Generator) -> Light:
    """A lamp or the sun anywhere above, warm or cool, hard or soft."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(12, 80))
    lamp = (np.cos(elevation) * np.cos(azimuth), np.sin(elevation), np.cos(elevation) * np.sin(azimuth))
    strength, fill = rng.uniform(0.25, 1.15), rng.uniform(0.2, 0.75)
    warm = rng.normal(0, 0.09)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    return Light(
        lamp=(float(lamp[0]), float(lamp[1]), float(lamp[2])),
        lamp_colour=_triple(strength * tint),
        sky=_triple(fill * (1 - 0.4 * (tint - 1))),
        ground=_triple(fill * rng.uniform(0.3, 0.8) * rng.uniform(0.85, 1.1, 3)),
    )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


@dataclass(frozen=True, eq=False)
class Backdrop:
    """What is behind: (H, W, 3) float32 in [0, 255], (H, W) bool where it is floor that takes shadows, and whether it
    is part of a given picture."""

    picture: np.ndarray
    floor: np.ndarray
    given: bool = False


def backdrop(rng: np.random.Generator, camera: Camera, size_wh: tuple[int, int], given: list[Any] | tuple) -> Backdrop:
    """A given picture's part, a generated room, or a generated loose picture."""
    if given and rng.random() < 0.85:
        picture = _cut(rng, read_image(Path(given[int(rng.integers(len(given)))])), size_wh)
        return Backdrop(picture, _floor(camera, size_wh)[0], given=True)
    if rng.random() < 0.65:
        return _room(rng, camera, size_wh)
    return Backdrop(_loose(rng, size_wh), _floor(camera, size_wh)[0])


def suited(colour: np.ndarray, light: Light, photo: np.ndarray) -> np.ndarray:
    """What was drawn (H, W, 3) in ``light``, about as bright as a photo (H, W, 3) and a little of its tint.

    White things set the measure: one in such light, seen from the front, against the photo's brightest twentieth.
    People lit otherwise than their surroundings would give themselves away, and be learned by that. In a grey photo
    they are grey.
    """
    white = 255 * np.sqrt((np.array(light.sky) + light.ground + light.lamp_colour) / 2)  # as the renderer has light
    ratio = np.percentile(photo, 95, axis=(0, 1)) / white
    level = max(float(ratio.mean()), 1e-6)
    gain = np.clip(level, 0.5, 2.0) ** _SUITED * np.clip(ratio / level, 0.5, 2.0) ** _TINTED
    out = colour * gain.astype(np.float32)
    return out.mean(axis=2, keepdims=True).repeat(3, axis=2) if np.ptp(photo, axis=2).mean() < _GREY else out


def _cut(rng: np.random.Generator, picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A random part of a picture in the right proportions, mirrored half of the time."""
    (height, width), (w, h) = picture.shape[:2], size_wh
    scale = min(width / w, height / h) * rng.uniform(0.5, 1)
    x, y = rng.uniform(0, width - scale * w), rng.uniform(0, height - scale * h)
    box_px = (float(x), float(y), float(x + scale * w), float(y + scale * h))
    part = Image.fromarray(picture).resize(size_wh, Image.Resampling.BILINEAR, box=box_px, reducing_gap=2.0)
    out = np.asarray(part, np.float32)
    return out[:, ::-1] if rng.random() < 0.5 else out


def _floor(camera: Camera, size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel's ray meets y = 0: (H, W) bool whether it does, (H, W) x and z in mm."""
    w, h = size_wh
    x = (np.arange(w) - camera.centre_px[0]) / camera.focal_px[0]
    y = (np.arange(h) - camera.centre_px[1]) / camera.focal_px[1]
    turn = camera.rotation.astype(np.float32)
    rays = [turn[0, i] * x[None] + turn[1, i] * y[:, None] + turn[2, i] for i in range(3)]
    with np.errstate(divide="ignore", invalid="ignore"):
        far = -camera.position_mm[1] / rays[1]
        hit = (far > 0) & (far < 60_000)
        far = np.where(hit, far, 0)
    return hit, camera.position_mm[0] + far * rays[0], camera.position_mm[2] + far * rays[2]


def _room(rng: np.random.Generator, camera: Camera, size_wh: tuple[int, int]) -> Backdrop:
    """A floor with a texture that recedes, and a wall (or a sky) behind it."""
    hit, x, z = _floor(camera, size_wh)
    # The wall stands across the view, some metres behind whatever the camera looks at.
    way = camera.rotation[2][[0, 2]]
    way = way / max(float(np.linalg.norm(way)), 1e-6)
    reach = float(rng.uniform(1500, 9000))
    beyond = (x * way[0] + z * way[1]) > reach
    floor = hit & ~beyond
    turn, tile = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(150), np.log(1500))))
    u = (np.cos(turn) * x + np.sin(turn) * z) / tile
    v = (np.cos(turn) * z - np.sin(turn) * x) / tile
    first, second = np.array(wall_colour(rng), np.float32), np.array(wall_colour(rng), np.float32)
    second = first + (second - first) * rng.uniform(0.05, 0.6)
    kind = int(rng.integers(4))
    if kind == 0:
        share = ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)
    elif kind == 1:
        share = (np.abs(u - np.round(u)) < 0.06).astype(np.float32) + (np.abs(v - np.round(v)) < 0.02)
    elif kind == 2:
        share = 0.5 + 0.5 * np.sin(u * 2.1 + np.sin(v * 1.3) * 1.7)
    else:
        share = _noise(rng, size_wh, (12, 40))
    picture = _loose(rng, size_wh)
    share = np.clip(share, 0, 1)[..., None].astype(np.float32)
    # Fine texture far away would only flicker: it fades with distance.
    fade = np.clip(1.5 - np.hypot(x - camera.position_mm[0], z - camera.position_mm[2]) / 9000, 0, 1)[..., None]
    ground = first + (second - first) * (share * fade + 0.5 * (1 - fade))
    ground *= 1 + 0.12 * (_noise(rng, size_wh, (6, 20)) - 0.5)[..., None]
    return Backdrop(np.where(floor[..., None], ground, picture).astype(np.float32), floor)


def _noise(rng: np.random.Generator, size_wh: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 in [0, 1], smooth, with that many random values along a side."""
    n = int(rng.integers(*cells))
    small = Image.fromarray(rng.integers(0, 256, (n, n), dtype=np.uint8))
    return np.asarray(small.resize(size_wh, Image.Resampling.BICUBIC), np.float32) / 255


def _loose(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    """A gradient, clouds of colour, panels and bars: a wall, a street or nothing in particular."""
    w, h = size_wh
    colours = np.array([wall_colour(rng) for _ in range(3)], np.float32)
    lean = rng.uniform(0, 1)
    across = (
        lean * np.linspace(0, 1, w, dtype=np.float32)[None]
        + (1 - lean) * np.linspace(0, 1, h, dtype=np.float32)[:, None]
    )
    picture = colours[0] + (colours[1] - colours[0]) * across[..., None]
    cloud = _noise(rng, size_wh, (2, 9))[..., None] * rng.uniform(0, 0.9)
    picture = picture + (colours[2] - picture) * cloud
    canvas = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(0, 12))):
        x, y = rng.uniform(-0.1, 1.1) * w, rng.uniform(-0.1, 1.1) * h
        a, b = np.exp(rng.uniform(np.log(0.01), np.log(0.35), 2)) * (w, h)
        colour = wall_colour(rng)
        shape = [(x - a, y - b), (x + a, y + b)]
        kind = rng.random()
        if kind < 0.55:
            draw.rectangle(shape, fill=colour)
        elif kind < 0.75:
            draw.ellipse(shape, fill=colour)
        else:
            end = (x + float(rng.normal(0, 0.5)) * w, y + float(rng.normal(0, 0.5)) * h)
            draw.line([(x, y), end], fill=colour, width=max(1, int(min(a, b) / 2)))
    if rng.random() < 0.6:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 3.0)) * w / 256))
    return np.asarray(canvas, np.float32)


def sample_thing(rng: np.random.Generator, height_mm: float) -> Mesh:
    """A block, a pole, a bin or a ball that stands on y = 0 at the origin, about as tall as said."""
    colour = wall_colour(rng)
    kind = rng.random()
    if kind < 0.5:
        mesh = box(np.array([rng.uniform(0.3, 1.1), 1.0, rng.uniform(0.2, 0.8)]) * height_mm, colour)
    elif kind < 0.75:
        radius = rng.uniform(25, 160)
        mesh = spindle(np.array([radius, radius * rng.uniform(0.7, 1.1)]), np.array([0, height_mm]), colour)
    else:
        angle = np.linspace(0, np.pi, 9)
        radius = height_mm / 2
        mesh = spindle(radius * np.sin(angle) + 0.1, radius * (1 - np.cos(angle)), colour)
    second = np.array(wall_colour(rng)) / 255
    mesh.surface = Surface(int(rng.integers(0, 6)), _triple(second), float(rng.uniform(40, 400)))
    return moved(mesh, rot.about_y(float(rng.uniform(0, 2 * np.pi))), np.zeros(3))
