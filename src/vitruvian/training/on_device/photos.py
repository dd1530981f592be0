"""`PackedPhotos`: pictures of all sizes in one tensor, and parts of them resampled for a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import ShapeError

_PLAIN_SHRINK = 1.25
"""Up to so many photo pixels per result pixel one bilinear look skips next to nothing, as in `transforms.warp`."""
_MOST_LOOKS = 8
"""Along each axis of a result pixel: photos that are shrunk more are left with some of their finest detail."""
_PIXELS_AT_ONCE = 1 << 24
"""Result pixels that are worked on together, for the sake of memory: a look takes about 100 bytes for each."""


class PackedPhotos:
    """Photos (H, W, 3), or masks (H, W), uint8, of any sizes.

    Parameters
    ----------
    photos : one after the other, and read once.
    sizes_wh : (width, height) of each.
    channels : 3, or 1 for masks.
    device : where the pixels are to be.

    Raises
    ------
    ShapeError
        A photo of another kind or size.
    """

    def __init__(
        self,
        photos: Iterable[np.ndarray],
        sizes_wh: Sequence[tuple[int, int]],
        channels: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.channels = channels
        sizes = torch.tensor(sizes_wh, dtype=torch.int64).reshape(-1, 2)
        lengths = sizes.prod(1) * channels
        ends = lengths.cumsum(0)
        self.sizes_wh, self._starts = sizes.to(device), (ends - lengths).to(device)
        self._pixels = torch.empty(int(lengths.sum()), dtype=torch.uint8, device=device)
        for photo, (width, height), end in zip(photos, sizes_wh, ends.tolist(), strict=True):
            if photo.dtype != np.uint8 or photo.shape != ((height, width, 3)[: 3 if channels > 1 else 2]):
                raise ShapeError(
                    f"expected uint8 photos of {width} x {height} with {channels} channel(s), got {photo.dtype} "
                    f"{photo.shape}"
                )
            self._pixels[end - photo.size : end] = torch.tensor(photo.reshape(-1))

    def __len__(self) -> int:
        return len(self._starts)

    def look_up(
        self,
        which: Tensor,
        input_to_frame: Tensor,
        size_wh: Sequence[int],
        within_xyxy: Tensor | None = None,
        fill: float = 0.0,
    ) -> Tensor:
        """Resample photos: the result's pixel at p shows what the photo has at ``input_to_frame`` p.

        Parameters
        ----------
        which : (B,) int64 photos.
        input_to_frame : (B, 2, 3) maps from the result's pixels to the photo's (centres at integers).
        size_wh : (width, height) of the results.
        within_xyxy : (B, 4) whole pixels x0, y0, x1, y1: what is left of each photo, ends not among it. None: all.
        fill : what lies beyond.

        Returns
        -------
        (B, C, height, width) float32 from 0 to 255, not rounded.
        """
        width, height = size_wh
        result = torch.empty((len(which), self.channels, height, width), device=which.device)
        if within_xyxy is None:
            within_xyxy = torch.cat([torch.zeros_like(self.sizes_wh[which]), self.sizes_wh[which]], dim=1)
        maps = input_to_frame.float()
        shrink = torch.linalg.det(maps[:, :, :2]).abs().sqrt()
        looks = (shrink - (_PLAIN_SHRINK - 1)).ceil().clamp(1, _MOST_LOOKS).long()
        for count in looks.unique().tolist():
            for rows in (looks == count).nonzero()[:, 0].split(max(1, _PIXELS_AT_ONCE // (width * height))):
                part = self._looked_up(which[rows], maps[rows], (width, height), within_xyxy[rows], fill, count)
                result[rows] = part.permute(0, 3, 1, 2)
        return result

    def _looked_up(
        self, which: Tensor, maps: Tensor, size_wh: tuple[int, int], within: Tensor, fill: float, count: int
    ) -> Tensor:
        """(B, height, width, C): the mean of ``count`` x ``count`` bilinear looks within each pixel."""
        u = torch.arange(size_wh[0], device=which.device, dtype=torch.float32)
        v = torch.arange(size_wh[1], device=which.device, dtype=torch.float32)[:, None]
        starts, widths = self._starts[which][:, None, None], self.sizes_wh[which, 0][:, None, None]
        (a, b, tx), (c, d, ty) = (row.T[:, :, None, None] for row in maps.unbind(1))
        x0, y0, x1, y1 = within.T[:, :, None, None]
        total = torch.zeros((len(which), size_wh[1], size_wh[0], self.channels), device=which.device)
        steps = ((torch.arange(count) + 0.5) / count - 0.5).tolist()
        for du, dv in ((du, dv) for dv in steps for du in steps):
            x, y = a * (u + du) + b * (v + dv) + tx, c * (u + du) + d * (v + dv) + ty
            west, north = x.floor(), y.floor()
            across, down = (x - west)[..., None], (y - north)[..., None]
            left, right = (torch.minimum(torch.maximum(west.long() + i, x0), x1 - 1) for i in (0, 1))
            rows = [torch.minimum(torch.maximum(north.long() + i, y0), y1 - 1) for i in (0, 1)]
            upper, lower = (
                torch.lerp(self._at(starts, row * widths + left), self._at(starts, row * widths + right), across)
                for row in rows
            )
            inside = (x >= x0 - 0.5) & (x < x1 - 0.5) & (y >= y0 - 0.5) & (y < y1 - 0.5)
            total += torch.where(inside[..., None], torch.lerp(upper, lower, down), fill)
        return total / count**2

    def _at(self, starts: Tensor, pixels: Tensor) -> Tensor:
        """(..., C) float32 values of pixels, counted in each photo from its own start."""
        channels = torch.arange(self.channels, device=pixels.device)
        return self._pixels[(starts + pixels * self.channels)[..., None] + channels].float()
