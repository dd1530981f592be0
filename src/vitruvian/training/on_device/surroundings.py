"""`RandomSurroundings`: other backgrounds, second people and things in a batch of crops, with the draws of `Mixing`.

Sources: those of `data.mixing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...data.mixing import MOST_HIDDEN, SOFTEST_PX, Mixing
from .draws import Draws
from .looks import gaussian
from .photos import PackedPhotos


@dataclass(frozen=True)
class Donors:
    """Who can be pasted, and what can be behind people.

    Attributes
    ----------
    photos, masks : pixels; masks are those of people.
    masks_photo : (M,) int64 the photo of each mask.
    spans_xyxy : (M, 4) float32 first and last pixels of what each mask shows.
    empty : (P,) int64 photos without people.
    """

    photos: PackedPhotos
    masks: PackedPhotos
    masks_photo: Tensor
    spans_xyxy: Tensor
    empty: Tensor


class Drawn(NamedTuple):
    """(B,) bool each: what is changed in which crop; see `Mixing`."""

    background: Tensor
    person: Tensor
    thing: Tensor


class RandomSurroundings:
    """What surrounds or hides people; see `Mixing`, whose shares these are."""

    def __init__(self, shares: Mixing, donors: Donors) -> None:
        self.shares, self.donors = shares, donors

    def draw(self, count: int, generator: torch.Generator) -> Drawn:
        """What is to be changed in each of so many crops."""
        draw = Draws(generator, self.donors.spans_xyxy.device)
        shares = (self.shares.background_prob, self.shares.person_prob, self.shares.thing_prob)
        return Drawn(*(draw.some(count, share) for share in shares))

    def __call__(
        self,
        crops: Tensor,
        masks: Tensor,
        has_mask: Tensor,
        keypoints_px: Tensor,
        changes: Drawn,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Changed crops, and masks without what is hidden now.

        Parameters
        ----------
        crops : (B, 3, H, W) float32, 0 to 255.
        masks : (B, 1, H, W) float32, 0 to 255; of crops with another background or person at least.
        has_mask : (B,) bool; the masks of others are not read.
        keypoints_px : (B, K, 2) joints in the crops; NaN where not labelled.
        changes : of `draw`.
        """
        draw = Draws(generator, crops.device)
        background, person, thing = changes
        size_wh = (crops.shape[3], crops.shape[2])
        rows = (background & has_mask).nonzero()[:, 0]
        if len(rows):
            crops[rows] = blend(self._parts(draw, len(rows), size_wh), crops[rows], softened(draw, masks[rows]))
        rows = person.nonzero()[:, 0]
        if len(rows):
            who = draw.among(len(rows), len(self.donors.masks))
            to_frame = self._beside(draw, who, size_wh)
            pixels = self.donors.photos.look_up(self.donors.masks_photo[who], to_frame, size_wh)
            outline = self.donors.masks.look_up(who, to_frame, size_wh)
            behind = draw.some(len(rows), 0.5) & has_mask[rows]
            seen = torch.where(behind[:, None, None, None], torch.minimum(outline, 255 - masks[rows]), outline)
            pasted = behind | ~_hides(outline, keypoints_px[rows])
            crops[rows] = _where(pasted, blend(crops[rows], pixels, softened(draw, seen)), crops[rows])
            masks[rows] = _where(pasted & ~behind, torch.minimum(masks[rows], 255 - outline), masks[rows])
        rows = thing.nonzero()[:, 0]
        if len(rows):
            who = draw.among(len(rows), len(self.donors.masks))
            outline = self.donors.masks.look_up(who, self._anywhere(draw, who, size_wh), size_wh)
            pasted = ~_hides(outline, keypoints_px[rows])
            pixels = self._parts(draw, len(rows), size_wh)
            crops[rows] = _where(pasted, blend(crops[rows], pixels, softened(draw, outline)), crops[rows])
            masks[rows] = _where(pasted, torch.minimum(masks[rows], 255 - outline), masks[rows])
        return crops, masks

    def _parts(self, draw: Draws, count: int, size_wh: tuple[int, int]) -> Tensor:
        """Random parts of photos without people, as large as the crop, perhaps mirrored."""
        which = self.donors.empty[draw.among(count, len(self.donors.empty))]
        whole, size = self.donors.photos.sizes_wh[which].float(), torch.tensor(size_wh, device=draw.device).float()
        scale = (size / whole).amax(1, keepdim=True) * draw.uniform(1, 3, count, 1)
        start = (size - whole * scale) * draw.uniform(0, 1, count, 2)
        mirror = draw.some(count, 0.5)
        step = 1 / scale[:, 0]
        to_frame = torch.zeros(count, 2, 3, device=draw.device)
        to_frame[:, 0, 0], to_frame[:, 1, 1] = torch.where(mirror, -step, step), step
        to_frame[:, :, 2] = (0.5 - start) * step[:, None] - 0.5
        to_frame[:, 0, 2] += torch.where(mirror, (size_wh[0] - 1) * step, torch.zeros_like(step))
        return self.donors.photos.look_up(which, to_frame, size_wh)

    def _beside(self, draw: Draws, who: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Where second people stand: at a side, of about the size of the first."""
        count = len(who)
        side = torch.where(draw.some(count, 0.5), 1.0, -1.0)
        x = size_wh[0] * (0.5 + side * draw.uniform(0.3, 0.7, count))
        y = size_wh[1] * draw.uniform(0.3, 0.8, count)
        return self._placed(draw, who, x, y, draw.uniform(0.5, 1.1, count) * size_wh[1], draw.uniform(-20, 20, count))

    def _anywhere(self, draw: Draws, who: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Where things lie: small, at any angle."""
        count = len(who)
        x, y = size_wh[0] * draw.uniform(0, 1, count), size_wh[1] * draw.uniform(0, 1, count)
        size = draw.uniform(0.15, 0.45, count) * size_wh[1]
        return self._placed(draw, who, x, y, size, draw.uniform(-180, 180, count))

    def _placed(self, draw: Draws, who: Tensor, x: Tensor, y: Tensor, size_px: Tensor, degrees: Tensor) -> Tensor:
        """(B, 2, 3) maps from the crop to the photo that bring what masks show to a point, a size and an angle."""
        spans = self.donors.spans_xyxy[who]
        long = (spans[:, 2:] - spans[:, :2] + 1).amax(1)
        centre = (spans[:, 2:] + spans[:, :2]) / 2
        mirror = torch.where(draw.some(len(who), 0.5), -1.0, 1.0)
        cos, sin = torch.cos(degrees * math.pi / 180), torch.sin(degrees * math.pi / 180)
        # The inverse of: mirror, turn, scale. It is (turn / scale) transposed, then the mirror.
        back = torch.stack([mirror * cos, mirror * sin, -sin, cos], 1).reshape(-1, 2, 2)
        back = back * (long / size_px)[:, None, None]
        shift = centre - (back @ torch.stack([x, y], 1)[:, :, None])[:, :, 0]
        return torch.cat([back, shift[:, :, None]], 2)


def softened(draw: Draws, masks: Tensor) -> Tensor:
    """Masks with edges of random softness, half of them as they are."""
    rows = draw.some(len(masks), 0.5).nonzero()[:, 0]
    soft = masks.clone()
    if len(rows):
        soft[rows] = gaussian(masks[rows], draw.uniform(0.3, SOFTEST_PX, len(rows)), SOFTEST_PX)
    return soft


def blend(under: Tensor, over: Tensor, alpha: Tensor) -> Tensor:
    """``over`` where alpha (B, 1, H, W) is 255, ``under`` where it is 0."""
    return torch.lerp(under, over, alpha / 255)


def _where(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(rows[:, None, None, None], yes, no)


def _hides(outline: Tensor, keypoints_px: Tensor) -> Tensor:
    """(B,) bool: whether too many of the labelled joints in a crop are under the outline (B, 1, H, W)."""
    height, width = outline.shape[2:]
    points = keypoints_px.round()
    seen = torch.isfinite(points).all(2) & (points >= 0).all(2) & (points[..., 0] < width) & (points[..., 1] < height)
    places = torch.where(seen[..., None], points, 0).long()
    under = outline.flatten(1).gather(1, places[..., 1] * width + places[..., 0]) >= 127.5
    return (under & seen).sum(1) > MOST_HIDDEN * seen.sum(1)
