"""`PackedPhotos`: pictures of all sizes in one tensor, and parts of them resampled for a whole batch at once.

Each is kept at its own size and at halves of it (Williams, SIGGRAPH 1983, "Pyramidal Parametrics"), so that a shrunk
crop takes one bilinear look a pixel as an enlarged one does, and does not skip most of a large photo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import ShapeError

_LEVELS = 5  # sizes of each photo: down to a sixteenth
_PIXELS_AT_ONCE = 1 << 23
"""Result pixels that are worked on together, for the sake of memory: each takes about 150 bytes meanwhile."""


class PackedPhotos:
    """Photos (H, W, 3), or masks (H, W), uint8, of any sizes.

    Parameters
    ----------
    photos : one after the other, and read once.
    sizes_wh : (width, height) of each.
    channels : 3, or 1 for masks.
    device : where the pixels are to be.
    origins_px : (x, y) of each one's first pixel, where it is a part of something larger. None: (0, 0).

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
        origins_px: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.channels = channels
        sizes = torch.tensor(sizes_wh, dtype=torch.int64).reshape(-1, 1, 2)
        # (N, levels, 2): half of an odd number is rounded up.
        sizes = torch.cat([-(-sizes // 2**level) for level in range(_LEVELS)], dim=1)
        ends = sizes.prod(2).flatten().cumsum(0).reshape(-1, _LEVELS)
        self.sizes_wh = sizes[:, 0].to(device)
        self._sizes, self._starts = sizes.to(device), (ends - sizes.prod(2)).to(device)
        origins = torch.zeros_like(sizes[:, 0]) if origins_px is None else torch.tensor(origins_px).reshape(-1, 2)
        self._origins = origins.to(device)
        # Three channels are one number: a pixel is then read at once.
        kind = torch.uint8 if channels == 1 else torch.int32
        self._pixels = torch.empty(int(ends[-1, -1]) if len(ends) else 0, dtype=kind, device=device)
        for photo, (width, height), stops in zip(photos, sizes_wh, ends.tolist(), strict=True):
            if photo.dtype != np.uint8 or photo.shape != ((height, width, 3)[: 3 if channels > 1 else 2]):
                raise ShapeError(
                    f"expected uint8 photos of {width} x {height} with {channels} channel(s), got {photo.dtype} "
                    f"{photo.shape}"
                )
            for level, stop in enumerate(stops):
                photo = _halved(photo) if level else photo
                flat = torch.from_numpy(_as_numbers(photo).reshape(-1))
                self._pixels[stop - len(flat) : stop] = flat

    def __len__(self) -> int:
        return len(self._starts)

    def __deepcopy__(self, memo: dict) -> PackedPhotos:
        """Itself: pixels never change, and averaging weights copies the module that holds them."""
        return self

    @staticmethod
    def bytes_of(sizes_wh: Sequence[tuple[int, int]], channels: int) -> int:
        """About how much memory photos of these sizes take."""
        return (4 if channels > 1 else 1) * sum(width * height for width, height in sizes_wh) * 4 // 3

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
        origins = self._origins[which]
        whole = torch.cat([origins, origins + self.sizes_wh[which]], dim=1)
        if within_xyxy is None:
            within_xyxy = whole
        else:
            within_xyxy = torch.cat(
                [torch.maximum(within_xyxy[:, :2], whole[:, :2]), torch.minimum(within_xyxy[:, 2:], whole[:, 2:])], 1
            )
        # From the part of the photo that is kept.
        within_xyxy = within_xyxy - torch.cat([origins, origins], 1)
        maps = input_to_frame.float().clone()
        maps[:, :, 2] -= origins
        rows = max(1, _PIXELS_AT_ONCE // (width * height))
        for i in range(0, len(which), rows):
            part = slice(i, i + rows)
            result[part] = self._looked_up(which[part], maps[part], (width, height), within_xyxy[part], fill)
        return result

    def _looked_up(self, which: Tensor, maps: Tensor, size_wh: tuple[int, int], within: Tensor, fill: float) -> Tensor:
        """(B, C, height, width): one bilinear look a pixel, at the size that is nearest to the result's."""
        (a, b, tx), (c, d, ty) = (row.T[:, :, None, None] for row in maps.unbind(1))
        shrink = (a * d - b * c).abs().sqrt().flatten().clamp(min=1)
        level = shrink.log2().round().long().clamp(max=_LEVELS - 1)
        starts, widths = self._starts[which, level][:, None, None], self._sizes[which, level, 0][:, None, None]
        step = (2**level)[:, None, None]
        u = torch.arange(size_wh[0], device=which.device, dtype=torch.float32)
        v = torch.arange(size_wh[1], device=which.device, dtype=torch.float32)[:, None]
        x, y = a * u + b * v + tx, c * u + d * v + ty
        x0, y0, x1, y1 = within.T[:, :, None, None]
        inside = (x >= x0 - 0.5) & (x < x1 - 0.5) & (y >= y0 - 0.5) & (y < y1 - 0.5)
        x, y = (x + 0.5) / step - 0.5, (y + 0.5) / step - 0.5
        west, north = x.floor(), y.floor()
        across, down = (x - west)[:, None], (y - north)[:, None]
        first_x, last_x, first_y, last_y = x0 // step, (x1 - 1) // step, y0 // step, (y1 - 1) // step
        left, right = (torch.minimum(torch.maximum(west.long() + i, first_x), last_x) for i in (0, 1))
        rows = [torch.minimum(torch.maximum(north.long() + i, first_y), last_y) * widths + starts for i in (0, 1)]
        upper, lower = (torch.lerp(self._at(row + left), self._at(row + right), across) for row in rows)
        return torch.where(inside[:, None], torch.lerp(upper, lower, down), fill)

    def _at(self, pixels: Tensor) -> Tensor:
        """(B, C, height, width) float32 values of pixels, counted in all photos."""
        values = self._pixels[pixels.clamp(0, len(self._pixels) - 1)]
        if self.channels == 1:
            return values[:, None].float()
        return torch.stack([(values >> shift) & 255 for shift in (0, 8, 16)], 1).float()


def _halved(photo: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, rounded; an odd last row or column is repeated."""
    edges = [(0, side % 2) for side in photo.shape[:2]] + [(0, 0)] * (photo.ndim - 2)
    photo = np.pad(photo, edges, mode="edge").astype(np.uint16)
    return ((photo[::2, ::2] + photo[1::2, ::2] + photo[::2, 1::2] + photo[1::2, 1::2] + 2) >> 2).astype(np.uint8)


def _as_numbers(photo: np.ndarray) -> np.ndarray:
    """(H, W) int32 red, green and blue in 8 bits each; masks as they are."""
    if photo.ndim == 2:
        return np.ascontiguousarray(photo)
    wide = photo.astype(np.int32)
    return wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16
