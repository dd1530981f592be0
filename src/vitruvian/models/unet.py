"""U-Net, in the Keras form of system 0 (github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection).

Source: Ronneberger et al., MICCAI 2015, with the habits of its common Keras version: "same" padding, dropout, and
upsampling by repetition followed by a 2x2 convolution (which Keras pads on the right and below).

What the network says is the codec's matter. With a `PixelsCodec` of stride 1 and 25 joints the parameter counts are the
system's: mask 31,031,810, heat 31,031,745, mask + heat 31,031,875 (experiment 1), mask + classes 31,033,500
(experiments 2 and 3), all three 31,033,565 (experiment 4). A codec of a coarser stride ends the decoder early.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, HeatmapCodec, PixelsCodec
from ..errors import ShapeError
from .layers import build_head
from .layers.options import finest_level, halving_sides

_SIMCC_STRIDE = 4  # of the features; SimCC has no maps that would say it
_SKIPS = ("system", "after", "before")


class UNet(nn.Module):
    """Encoder of ``levels`` levels, each twice as wide and half as fine as the one above; decoder with concatenations.

    Input (B, 3, H, W) normalised RGB, H and W multiples of ``2 ** (levels - 1)``: 16.

    Parameters
    ----------
    joints : K.
    codec : decides the heads, and by its stride where the decoder ends.
    width : channels of the finest level.
    levels : 2 or more; 5 in the system.
    dropout : after every level but the finest, on the way down and up.
    skips : what the decoder gets of a level: what it gave ``"before"`` or ``"after"`` its dropout, or as the
        ``"system"`` has it: after for the coarsest skip, before for all others.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        width: int = 64,
        levels: int = 5,
        dropout: float = 0.3,
        skips: str = "system",
    ) -> None:
        super().__init__()
        self.finest = _check(codec, width, levels, dropout, skips)
        self.levels, self.skips = levels, skips
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_twice(c_in, c_out) for c_in, c_out in zip([3, *widths], widths, strict=False))
        above = range(levels - 2, self.finest - 1, -1)
        self.enlarge = nn.ModuleList(nn.Conv2d(widths[level + 1], widths[level], 2) for level in above)
        self.up = nn.ModuleList(_twice(2 * widths[level], widths[level]) for level in above)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _he_normal(module)
        stride = 2**self.finest
        self.head = build_head(widths[self.finest], joints, stride, codec)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / stride, W / stride): for the heads. `ShapeError` where sides do not fit."""
        halving_sides("a U-Net", self.levels, images.shape[-1], images.shape[-2])
        x, kept = images, []
        for level, block in enumerate(self.down):
            x = before = block(F.max_pool2d(x, 2) if level else x)
            x = self.dropout(x) if level else x
            after = self.skips == "after" or (self.skips == "system" and level == self.levels - 2)
            kept.append(x if after else before)
        for level, enlarge, block in zip(range(self.levels - 2, -1, -1), self.enlarge, self.up, strict=False):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.relu(enlarge(F.pad(x, (0, 1, 0, 1))))
            x = block(torch.cat([kept[level], x], dim=1))
            x = self.dropout(x) if level else x
        return x

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised RGB -> the codec's arrays."""
        return self.head(self.features(images))


def _check(codec: Codec, width: int, levels: int, dropout: float, skips: str) -> int:
    """The finest level of the decoder: 0 for maps of stride 1."""
    if type(width) is not int or width < 1 or type(levels) is not int or levels < 2:
        raise ShapeError(f"width is at least 1 and levels at least 2, got width {width!r}, levels {levels!r}")
    if skips not in _SKIPS or not 0 <= dropout < 1:
        raise ShapeError(f"skips is one of {_SKIPS} and dropout in 0 ... 1, got '{skips}' and {dropout!r}")
    stride = codec.stride if isinstance(codec, HeatmapCodec | PixelsCodec) else _SIMCC_STRIDE
    return finest_level("a U-Net", levels, stride)


def _twice(c_in: int, c_out: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU(), nn.Conv2d(c_out, c_out, 3, padding=1), nn.ReLU()
    )


def _he_normal(conv: nn.Conv2d) -> None:
    """Keras' ``he_normal``: cut at two deviations, and widened so that the deviation is sqrt(2 / inputs) after it."""
    deviation = math.sqrt(2 / (conv.in_channels * conv.kernel_size[0] * conv.kernel_size[1])) / 0.87962566
    nn.init.trunc_normal_(conv.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
