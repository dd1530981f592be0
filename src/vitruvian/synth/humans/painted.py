"""Painted clothes: sleeves, trousers, shoes and hair as colours of the body's own corners, blown up a little.

They need no wardrobe. Where on the body a corner is follows from the mean shape at rest: its part, how far along the
limb it is (0 at the limb's beginning, 1 at its end), and its height.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .body import PARTS, UNIT_MM, BodyModel
from .meshes import Surface

_LIMB_ENDS = {
    "upper_arm": ("upperarm01", "lowerarm01"), "forearm": ("lowerarm01", "wrist"),
    "thigh": ("upperleg01", "lowerleg01"), "shin": ("lowerleg01", "foot"),
}  # fmt: skip


@dataclass(frozen=True)
class Outfit:
    """What is painted.

    Attributes
    ----------
    sleeve : 0 sleeveless ... 1 to the elbow ... 2 to the wrist; ``leg`` likewise 0 ... knee ... ankle.
    neck : how high the collar goes, 0 ... 1; ``waist`` where top and trousers meet, 0 hip ... 1 chest.
    top, bottom, shoes, hair : RGB; ``hair`` None for a bald head. ``hairline`` lowers it at the back (0 ... 1).
    pattern : of the top.
    loose_mm : how much cloth stands off.
    """

    sleeve: float
    leg: float
    neck: float
    waist: float
    top: tuple[int, int, int]
    bottom: tuple[int, int, int]
    shoes: tuple[int, int, int] | None
    hair: tuple[int, int, int] | None
    hairline: float
    pattern: Surface
    loose_mm: float


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Long and short, plain and patterned; now and then barefoot or bald."""
    long_sleeve, long_leg = rng.random() < 0.45, rng.random() < 0.65
    return Outfit(
        sleeve=float(rng.uniform(1.4, 2.02) if long_sleeve else rng.uniform(0.12, 0.95)),
        leg=float(rng.uniform(1.5, 2.02) if long_leg else rng.uniform(0.3, 1.1)),
        neck=float(rng.uniform(0, 1)),
        waist=float(rng.uniform(0.1, 0.6)),
        top=cloth_colour(rng),
        bottom=cloth_colour(rng),
        shoes=cloth_colour(rng) if rng.random() < 0.85 else None,
        hair=hair_colour(rng) if rng.random() < 0.92 else None,
        hairline=float(rng.uniform(0, 1)),
        pattern=sample_pattern(rng),
        loose_mm=float(rng.uniform(3, 14)),
    )


def sample_pattern(rng: np.random.Generator) -> Surface:
    """Plain as often as not."""
    kind = int(rng.integers(1, 6)) if rng.random() < 0.4 else 0
    red, green, blue = (c / 255 for c in cloth_colour(rng))
    scale = float(np.exp(rng.uniform(np.log(30), np.log(220))))
    return Surface(pattern=kind, second=(red, green, blue), scale_mm=scale)


def cloth_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Any hue, greys as often as in clothes, never quite black or white."""
    saturation = rng.uniform(0, 0.2) if rng.random() < 0.5 else rng.uniform(0.1, 1) ** 1.5 * 0.9
    return rgb_of(rng.random(), saturation, rng.uniform(0.1, 0.95))


def hair_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Black, brown, fair, red, grey, and once in a while dyed."""
    if rng.random() < 0.03:
        return rgb_of(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9))
    tones = ((28, 24, 22), (45, 32, 25), (74, 50, 36), (110, 78, 50), (172, 134, 84), (206, 176, 122), (128, 58, 32),
             (120, 118, 116), (196, 194, 190))  # fmt: skip
    share = (0.2, 0.18, 0.18, 0.12, 0.09, 0.06, 0.04, 0.08, 0.05)
    tone = np.array(tones[int(np.searchsorted(np.cumsum(share), rng.random() * sum(share)))])
    return _triple(tone * rng.uniform(0.85, 1.15))


def skin_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """From dark to fair along a line through measured skin colours, with a little scatter across it."""
    line = np.array([(58, 38, 30), (96, 62, 44), (141, 92, 64), (186, 134, 100), (216, 172, 142), (236, 202, 180)])
    at = rng.uniform(0, len(line) - 1)
    low = min(int(at), len(line) - 2)
    return _triple(line[low] + (at - low) * (line[low + 1] - line[low]) + rng.normal(0, 5, 3))


def rgb_of(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    """8-bit RGB of hue, saturation and value in [0, 1]."""
    return _triple(255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value)))


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in np.clip(np.round(values), 0, 255))
    return red, green, blue


@dataclass(frozen=True, eq=False)
class _Places:
    """Of each vertex: how far along its limb, its height on the trunk (0 hip, 1 neck), and where on the head it is."""

    along: np.ndarray
    trunk: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    part: np.ndarray


@lru_cache(maxsize=2)
def _places(body: BodyModel) -> _Places:
    mean = body.shapes.mean(axis=0) * UNIT_MM
    heads = body.heads.mean(axis=0) * UNIT_MM
    bone = body.bone_index
    along = np.zeros(len(mean))
    for name, (first, last) in _LIMB_ENDS.items():
        for side, letter in (("left", "L"), ("right", "R")):
            start, end = heads[bone[f"{first}.{letter}"]], heads[bone[f"{last}.{letter}"]]
            mine = body.vertex_part == 1 + PARTS.index(f"{side}_{name}")
            way = end - start
            along[mine] = (mean[mine] - start) @ way / (way @ way)
    low, high = heads[bone["upperleg01.L"]][1], heads[bone["neck01"]][1]
    trunk = (mean[:, 1] - low) / (high - low)
    at = {n: mean[v] for n, v in zip(body.landmarks, body.landmark_vertex, strict=True)}
    eye, ear, crown = at["left_eye"], at["left_ear"], at["head_top"]
    size = crown[1] - eye[1]
    # A plane that rises from the nape, behind the ears, to the forehead: hair is above and behind it.
    hair = ((mean[:, 1] - eye[1]) / size + 0.95 * (ear[2] - mean[:, 2]) / size).astype(np.float32)
    hair[body.vertex_part != 1 + PARTS.index("head")] = -9
    iris = np.zeros(len(mean), bool)
    used = np.unique(body.corner_vertex[body.triangles[body.triangle_eye]]) if body.triangle_eye.any() else []
    for sign in (-1, 1):
        ball = np.array([v for v in used if mean[v, 0] * sign > 0], int)
        if len(ball):
            iris[ball] = mean[ball, 2] > mean[ball, 2].max() - 3.0
    return _Places(along, trunk, hair, iris, body.vertex_part)


def paint(
    body: BodyModel, outfit: Outfit, skin: tuple[int, int, int], eyes: tuple[int, int, int], worn: set[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Colours of the body's vertices.

    Parameters
    ----------
    outfit : what is painted on.
    worn : kinds of real garments (``wardrobe.KINDS``); what they stand for is not painted.

    Returns
    -------
    (V, 3) uint8 colours; (V,) bool bare skin; (V,) bool where the outfit's pattern is; (V,) float32 mm of cloth.
    """
    place = _places(body)
    rgb = np.tile(np.array(skin, np.uint8), (len(place.part), 1))
    bare = np.ones(len(rgb), bool)
    patterned = np.zeros(len(rgb), bool)
    thick = np.zeros(len(rgb), np.float32)

    def cover(where: np.ndarray, colour: tuple[int, int, int], mm: float) -> None:
        rgb[where], bare[where], thick[where] = colour, False, mm

    if "suit" not in worn:
        legs, top = _clothed(place, outfit)
        cover(legs, outfit.bottom, outfit.loose_mm)
        cover(top, outfit.top, outfit.loose_mm + 2)
        patterned = top
    if outfit.shoes is not None and "shoes" not in worn:
        feet = np.isin(place.part, [1 + PARTS.index(f"{side}_foot") for side in ("left", "right")])
        shins = np.isin(place.part, [1 + PARTS.index(f"{side}_shin") for side in ("left", "right")])
        cover(feet | (shins & (place.along > 0.96)), outfit.shoes, 8)
    if outfit.hair is not None:
        # Under a wig only the scalp's colour: strands have gaps.
        line = 0.85 if "hair" in worn else 0.62 - 0.4 * outfit.hairline
        cover(place.hair > line, outfit.hair, 0 if "hair" in worn else 9)
    if body.triangle_eye.any():
        ball = np.unique(body.corner_vertex[body.triangles[body.triangle_eye]])
        rgb[ball], bare[ball], thick[ball] = (225, 222, 218), False, 0
        rgb[place.iris] = eyes
    return rgb, bare, patterned, thick


def _clothed(place: _Places, outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
    """(V,) bool each: where trousers are, and where the top is."""
    part = {name: place.part == 1 + PARTS.index(name) for name in PARTS}
    trunk = part["torso"] & (place.trunk < 0.95 + 0.12 * outfit.neck)
    legs, top = np.zeros(len(trunk), bool), trunk & (place.trunk >= outfit.waist * 0.5)
    for side in ("left", "right"):
        legs |= part[f"{side}_thigh"] & (place.along < outfit.leg)
        legs |= part[f"{side}_shin"] & (place.along < outfit.leg - 1)
        top |= part[f"{side}_upper_arm"] & (place.along < outfit.sleeve)
        top |= part[f"{side}_forearm"] & (place.along < outfit.sleeve - 1)
    return legs | (trunk & ~top), top
