"""Crops with other surroundings: another background, a second person, things in front.

Sources: Dwibedi et al., ICCV 2017, "Cut, Paste and Learn", sections 3 and 4 (pasting along masks, soft edges, things
beside people); Ghiasi et al., CVPR 2021, "Simple Copy-Paste", section 3. Neither moves a joint: what changes is what
surrounds or hides the person, who stays where the crop has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ..geometry import Affine, boxes
from ..transforms import warp
from ..transforms.geometric import check_amounts

Donor = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Draws somebody: an (H, W, 3) uint8 photo and their (H, W) uint8 mask, 0 or 255."""
Photo = Callable[[np.random.Generator], np.ndarray]
"""Draws an (H, W, 3) uint8 photo without people."""

MOST_HIDDEN = 0.35
"""Share of the labelled joints in the crop that what is pasted may hide; with more, it is not pasted."""
SOFTEST_PX = 1.5
_MARGIN_PX = 6  # around somebody pasted, as far as a soft edge reaches


@dataclass(frozen=True)
class Mixing:
    """Shares of the crops that are changed, each drawn by itself.

    Attributes
    ----------
    background_prob : a photo without people behind the person (who needs a mask).
    person_prob : a second person at the side: in front, or behind where the person has a mask.
    thing_prob : a part of a photo without people in the outline of somebody, in front.
    """

    background_prob: float = 0.0
    person_prob: float = 0.0
    thing_prob: float = 0.0

    def __post_init__(self) -> None:
        check_amounts(self)

    def draw(self, rng: np.random.Generator) -> Changes:
        """What is to be changed in a crop."""
        chances = rng.random(3)
        return Changes(*(bool(c < getattr(self, f.name)) for c, f in zip(chances, fields(self), strict=True)))


class Changes(NamedTuple):
    """What is changed in one crop; see `Mixing`."""

    background: bool
    person: bool
    thing: bool

    def apply(
        self,
        rng: np.random.Generator,
        crop: np.ndarray,
        mask: np.ndarray | None,
        keypoints_px: np.ndarray,
        donor: Donor,
        photo: Photo,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The changed crop.

        Parameters
        ----------
        crop : (h, w, 3) uint8; not changed.
        mask : (h, w) uint8, 0 to 255, of the person; None where there is none.
        keypoints_px : (K, 2) joints in the crop; NaN where not labelled.

        Returns
        -------
        The crop, and the mask without what is hidden now.
        """
        crop_wh = (crop.shape[1], crop.shape[0])
        if mask is not None and self.background:
            crop = _blend(_part(rng, photo(rng), crop.shape), crop, _softened(rng, mask))
        if self.person:
            image, shape = donor(rng)
            change = _beside(rng, shape, crop_wh)
            pixels, outline = (_seen(array, shape, change, crop_wh) for array in (image, shape))
            if mask is not None and rng.random() < 0.5:
                crop = _blend(crop, pixels, _softened(rng, np.minimum(outline, 255 - mask)))
            else:
                crop, mask = _put_before(rng, crop, mask, keypoints_px, pixels, outline)
        if self.thing:
            shape = donor(rng)[1]
            outline = _seen(shape, shape, _anywhere(rng, shape, crop_wh), crop_wh)
            crop, mask = _put_before(rng, crop, mask, keypoints_px, _part(rng, photo(rng), crop.shape), outline)
        return crop, mask


UNCHANGED = Changes(False, False, False)


def _beside(rng: np.random.Generator, mask: np.ndarray, crop_wh: tuple[int, int]) -> Affine:
    """Where a second person stands in the crop: at a side, of about the size of the first."""
    x = crop_wh[0] * (0.5 + rng.choice([-1, 1]) * rng.uniform(0.3, 0.7))
    y = crop_wh[1] * rng.uniform(0.3, 0.8)
    return _placed(rng, mask, (x, y), rng.uniform(0.5, 1.1) * crop_wh[1], rng.uniform(-20, 20))


def _anywhere(rng: np.random.Generator, mask: np.ndarray, crop_wh: tuple[int, int]) -> Affine:
    """Where a thing lies in the crop: small, at any angle."""
    at = crop_wh[0] * rng.random(), crop_wh[1] * rng.random()
    return _placed(rng, mask, at, rng.uniform(0.15, 0.45) * crop_wh[1], rng.uniform(-180, 180))


def _placed(
    rng: np.random.Generator, mask: np.ndarray, at_px: tuple[float, float], size_px: float, degrees: float
) -> Affine:
    """The map that brings what a mask shows to a point, a size and an angle, mirrored half of the time."""
    rows, columns = boxes.span(mask) or (slice(0, 1), slice(0, 1))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale, angle = size_px / max(columns.stop - columns.start, rows.stop - rows.start), np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [mirror, 1.0]
    centre = np.array([columns.start + columns.stop - 1, rows.start + rows.stop - 1]) / 2
    return Affine(np.column_stack([turn, np.asarray(at_px) - turn @ centre]))


def _seen(image: np.ndarray, mask: np.ndarray, change: Affine, crop_wh: tuple[int, int]) -> np.ndarray:
    """An image or a mask in the crop, 0 beyond the surroundings of what the mask shows: the rest is not resampled."""
    rows, columns = boxes.span(mask) or (slice(0, 0), slice(0, 0))
    ends = [(x, y) for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)]
    corners = change.apply(np.array(ends, float))
    (x0, y0) = np.maximum(np.floor(corners.min(axis=0)).astype(int) - _MARGIN_PX, 0).tolist()
    (x1, y1) = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + _MARGIN_PX, crop_wh).tolist()
    out = np.zeros((crop_wh[1], crop_wh[0], *image.shape[2:]), np.uint8)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = warp(image, Affine.translate(-x0, -y0) @ change, (x1 - x0, y1 - y0))
    return out


def _part(rng: np.random.Generator, photo: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A random part of a photo, as large as the crop, perhaps mirrored."""
    size_wh, whole_wh = np.array([shape[1], shape[0]]), np.array(photo.shape[1::-1])
    scale = float((size_wh / whole_wh).max() * rng.uniform(1, 3))
    start = (size_wh - whole_wh * scale) * rng.random(2)
    to_crop = Affine.translate(*start) @ Affine.resize(tuple(whole_wh), tuple(whole_wh * scale))
    part = warp(photo, to_crop, (int(size_wh[0]), int(size_wh[1])))
    return part[:, ::-1] if rng.random() < 0.5 else part


def _put_before(
    rng: np.random.Generator,
    crop: np.ndarray,
    mask: np.ndarray | None,
    keypoints_px: np.ndarray,
    pixels: np.ndarray,
    outline: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Paste in front of the person, unless too many of their joints would be hidden."""
    height, width = crop.shape[:2]
    points = keypoints_px[np.isfinite(keypoints_px).all(axis=1)].round().astype(int)
    points = points[((points >= 0) & (points < [width, height])).all(axis=1)]
    if len(points) and (outline[points[:, 1], points[:, 0]] >= 128).mean() > MOST_HIDDEN:
        return crop, mask
    left = None if mask is None else np.minimum(mask, 255 - outline)
    return _blend(crop, pixels, _softened(rng, outline)), left


def _softened(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The mask with an edge of random softness, half of the time as it is."""
    if rng.random() < 0.5:
        return mask
    return np.array(Image.fromarray(mask).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, SOFTEST_PX))))


def _blend(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """``over`` where alpha is 255, ``under`` where it is 0."""
    layers = (Image.fromarray(np.ascontiguousarray(layer)) for layer in (over, under, alpha))
    return np.array(Image.composite(*layers))
