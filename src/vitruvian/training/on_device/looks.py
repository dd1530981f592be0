"""`RandomLooks`: the colour and quality of a batch of crops, with the draws of `RandomPhotometry`.

Each change is a function of a batch and of one number for each of its crops. The JPEG of `jpeg_quality` is that of the
standard's baseline (ITU-T T.81, annex A.3 and K.1; quality to table as libjpeg scales it), with colour at half the
resolution, as Pillow writes it at these qualities.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import RecipeError
from ...transforms import Photometry, RandomPhotometry
from .draws import Draws

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


class RandomLooks:
    """How a batch of crops may look; see `RandomPhotometry`, whose amounts these are."""

    def __init__(self, amounts: RandomPhotometry) -> None:
        self.amounts = amounts

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 3, H, W) float32 from 0 to 255 -> the same, changed and rounded."""
        a, count, draw = self.amounts, len(images), Draws(generator, images.device)
        uniform = draw.uniform

        def between(low: float, high: float, *shape: int) -> Tensor:
            return uniform(low if low < high else 0.0, high, *shape)

        def some(share: float) -> Tensor:
            return draw.some(count, share).nonzero()[:, 0]

        gains = 1 + uniform(-a.colour, a.colour, count, 3)
        gains = gains * (1 - uniform(0, a.darken_max, count, 3))
        gamma = (1 + a.gamma) ** uniform(-1, 1, count)
        contrast = 1 + uniform(-a.contrast, a.contrast, count)
        images = tone(images, gamma, contrast, uniform(-a.brightness, a.brightness, count), gains)
        if len(rows := some(a.grey_prob)):
            images[rows] = grey(images[rows])
        if len(rows := some(a.blur_prob)):
            images[rows] = gaussian(images[rows], between(0.3, a.blur_px, len(rows)), max(a.blur_px, 0.3))
        if len(rows := some(a.low_res_prob)):
            least = min(1.2, a.low_res_factor)
            images[rows] = low_resolution(images[rows], uniform(least, a.low_res_factor, len(rows)), least)
        if len(rows := some(a.noise_prob)):
            strength = 255 * uniform(0, a.noise, len(rows), 1, 1, 1)
            noise = torch.randn(images[rows].shape, generator=generator, device=images.device)
            images[rows] = rounded(images[rows] + noise * strength)
        if len(rows := some(a.jpeg_prob)):
            images[rows] = jpeg(images[rows], uniform(20, 81, len(rows)).floor())
        if len(rows := some(a.erase_prob)):
            boxes = uniform(1, 4, len(rows)).floor()  # how many
            for i in range(3):
                size = between(0.08, a.erase_max, len(rows), 2)
                at, colour = uniform(0, 1, len(rows), 2), uniform(0, 256, len(rows), 3).floor()
                images[rows] = erase(images[rows], size, at, colour, boxes > i)
        return images


def looks_of(photometry: Photometry | None) -> RandomLooks | None:
    """What makes these changes on a device; `RecipeError` for one whose amounts are not `RandomPhotometry`'s."""
    if photometry is None:
        return None
    if not isinstance(photometry, RandomPhotometry):
        raise RecipeError(
            "augment_on: device knows the amounts of 'photometry', not the changes of a preset that has its own "
            f"({type(photometry).__name__})"
        )
    return RandomLooks(photometry)


def rounded(images: Tensor) -> Tensor:
    """To whole grey levels from 0 to 255, halves up."""
    return (images + 0.5).floor().clamp(0, 255)


def tone(images: Tensor, gamma: Tensor, contrast: Tensor, brightness: Tensor, gains: Tensor) -> Tensor:
    """Exponent, factor about mid-grey and addition (B,), then a factor for each channel (B, 3)."""
    gamma, contrast, brightness = (each[:, None, None, None] for each in (gamma, contrast, brightness))
    level = ((rounded(images) / 255) ** gamma - 0.5) * contrast + 0.5 + brightness
    return rounded(255 * gains[:, :, None, None] * level)


def grey(images: Tensor) -> Tensor:
    """Luma in all channels."""
    weights = torch.tensor(_TO_YCC[0], device=images.device)[:, None, None]
    return rounded((images * weights).sum(1, keepdim=True)).expand_as(images)


def gaussian(images: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Blurred by sigma (B,) pixels, ``most`` at most, edges repeated; masks (B, 1, H, W) too."""
    reach = max(1, math.ceil(3 * most))
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)
    count = len(kernel)
    flat = F.pad(images.reshape(1, count, *images.shape[2:]), (reach, reach, reach, reach), mode="replicate")
    flat = F.conv2d(F.conv2d(flat, kernel[:, None, None], groups=count), kernel[:, None, :, None], groups=count)
    return rounded(flat).reshape(images.shape)


def low_resolution(images: Tensor, factor: Tensor, least: float) -> Tensor:
    """Shrunk with means by ``factor`` (B,), at least ``least``, and enlarged again with triangles, as Pillow does."""
    height, width = images.shape[2:]
    down, up = zip(*(_there_and_back(side, factor, least) for side in (height, width)), strict=True)
    small = rounded(down[0][:, None] @ images @ down[1][:, None].transpose(2, 3))
    return rounded(up[0][:, None] @ small @ up[1][:, None].transpose(2, 3))


def _there_and_back(side: int, factor: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """(B, n, side) means and (B, side, n) interpolation along one axis, n the most pixels that can be left."""
    counts = (side / factor).floor().clamp(min=1)
    counts = counts[:, None, None]
    small = torch.arange(int(side / least) + 1, device=factor.device)[:, None]
    centres = torch.arange(side, device=factor.device) + 0.5
    # A pixel counts whole where its centre is.
    down = ((centres > small * side / counts) & (centres <= (small + 1) * side / counts) & (small < counts)).float()
    up = (1 - (centres * counts / side - 0.5 - small).abs()).clamp(min=0) * (small < counts)
    up = up.transpose(1, 2)
    return down / down.sum(2, keepdim=True).clamp(min=1e-6), up / up.sum(2, keepdim=True)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Compressed with a quality (B,) from 1 to 100 and decoded again."""
    height, width = images.shape[2:]
    edges = (0, -width % 16, 0, -height % 16)
    to_ycc, to_rgb = (torch.tensor(matrix, device=images.device) for matrix in (_TO_YCC, _TO_RGB))
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, F.pad(images, edges, mode="replicate"))
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    tables = [
        ((torch.tensor(table, device=images.device) * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)
        for table in (_LUMA, _CHROMA)
    ]
    luma = _quantised(rounded(ycc[:, :1]) - 128, tables[0])
    colour = _quantised(F.avg_pool2d(ycc[:, 1:], 2), tables[1])
    colour = F.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma + 128, colour], 1))
    return rounded(rgb[:, :, :height, :width])


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """(B, C, H, W) through blocks of 8 x 8 cosines, each rounded to a multiple of its entry of the table (B, 8, 8)."""
    n = torch.arange(8, device=planes.device)
    basis = torch.cos((2 * n + 1) * n[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    step = table[:, None, None, None]
    waves = torch.round(basis @ blocks @ basis.T / step) * step
    return (basis.T @ waves @ basis).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def erase(images: Tensor, size: Tensor, at: Tensor, colour: Tensor, which: Tensor) -> Tensor:
    """One rectangle of one colour (B, 3) in those crops of ``which`` (B,) bool.

    ``size`` (B, 2) are shares of the crop's width and height, ``at`` (B, 2) of the places that leave it in the crop.
    """
    inside = which[:, None, None]
    for axis, side in enumerate((images.shape[3], images.shape[2])):
        length = (side * size[:, axis]).floor().clamp(min=1)
        start = (at[:, axis] * (side - length + 1)).floor()
        place = torch.arange(side, device=images.device)
        held = (place >= start[:, None]) & (place < (start + length)[:, None])
        inside = inside & (held[:, None, :] if axis == 0 else held[:, :, None])
    return torch.where(inside[:, None], colour[:, :, None, None], images)
