"""Cutting people out of photos along their masks, and pasting them.

Source: Dwibedi et al., ICCV 2017, "Cut, Paste and Learn", sections 3 and 4: edges of varying softness, and things
besides people, so that a network cannot tell people by the traces of pasting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from ..formats import rle
from ..geometry import Affine, boxes
from ..transforms import warp

_FEWEST_PX = 600  # pixels of a mask that is worth pasting
_FEWEST_SEEN_PX = 12  # of what is pasted: less is nothing that could be found


@dataclass(frozen=True, eq=False)
class Cutout:
    """(h, w, 3) uint8 ``pixels`` and (h, w) uint8 ``mask``, 0 or 255, as large as what it shows."""

    pixels: np.ndarray
    mask: np.ndarray

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.mask.shape[1], self.mask.shape[0]


def cut_out(image: np.ndarray, segmentation: Any) -> Cutout | None:
    """Somebody out of an (H, W, 3) uint8 photo; None where the mask has but a few pixels."""
    mask = rle.to_mask(segmentation, (image.shape[1], image.shape[0]))
    if mask.sum() < _FEWEST_PX:
        return None
    part = boxes.span(mask)
    assert part is not None
    return Cutout(np.ascontiguousarray(image[part]), mask[part].astype(np.uint8) * 255)


def thing(rng: np.random.Generator, shape: Cutout, photo: np.ndarray) -> Cutout:
    """A part of an (H, W, 3) photo without people in the outline of somebody, turned by quarters."""
    mask = np.ascontiguousarray(np.rot90(shape.mask, int(rng.integers(4))))
    size, whole = np.array(mask.shape[::-1]), np.array(photo.shape[1::-1])
    scale = (size / whole).max() * rng.uniform(1, 4)
    start = (size - whole * scale) * rng.random(2)
    return Cutout(warp(photo, scaled(whole, whole * scale, start), (int(size[0]), int(size[1]))), mask)


def paste(
    image: np.ndarray, cutout: Cutout, to_image: Affine, soften_px: float = 0.0
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Put a cut-out on top of an (H, W, 3) uint8 image, in place.

    Parameters
    ----------
    to_image : maps the cut-out's pixels to the image's; upright or mirroring.
    soften_px : standard deviation of the blur of its edge, pixels of the image.

    Returns
    -------
    (h, w) bool, what it covers, and the x, y in the image where that array begins; None where next to nothing of it is
    in the image.
    """
    height, width = image.shape[:2]
    corners = to_image.apply(np.array([[-0.5, -0.5], [cutout.size_wh[0] - 0.5, cutout.size_wh[1] - 0.5]]))
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    x0, y0 = max(0, int(left) - 1), max(0, int(top) - 1)
    x1, y1 = min(width, int(right) + 2), min(height, int(bottom) + 2)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    to_part, size_wh = Affine.translate(-x0, -y0) @ to_image, (x1 - x0, y1 - y0)
    alpha = warp(cutout.mask, to_part, size_wh)
    if soften_px:
        alpha = np.array(Image.fromarray(alpha).filter(ImageFilter.GaussianBlur(soften_px)))
    covers = alpha >= 128
    if covers.sum() < _FEWEST_SEEN_PX:
        return None
    colour = warp(cutout.pixels, to_part, size_wh).astype(np.int32)
    part = np.s_[y0:y1, x0:x1]
    under = image[part].astype(np.int32)
    image[part] = (under + (colour - under) * alpha[..., None] // 255).astype(np.uint8)
    return covers, (x0, y0)


def scaled(from_wh: Any, to_wh: Any, start_px: Any) -> Affine:
    """The map that resizes a picture and moves its upper left corner by ``start_px``."""
    return Affine.translate(*start_px) @ Affine.resize(tuple(from_wh), tuple(to_wh))
