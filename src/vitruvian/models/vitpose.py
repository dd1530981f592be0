"""ViTPose: a plain vision transformer and a small decoder.

Sources: Xu et al., NeurIPS 2022, "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", section 3
and its public configurations (github.com/ViTAE-Transformer/ViTPose); Dosovitskiy et al., ICLR 2021 (the transformer).
Weights start as in the transformer's own code: N(0, 0.02), cut at two sigma.

Two differences to the public code: patches are cut without its padding by 2 pixels, which would move features against
the pixel-centre rule; and there is no position for the class token, which it adds to every other position.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, HeatmapCodec
from ..errors import ShapeError
from .layers import TransformerBlock, build_head, placed, whole_numbers
from .simple_baseline import deconvolutions

SIZES: dict[str, tuple[int, int, int]] = {"s": (384, 12, 12), "b": (768, 12, 12)}
"""Size -> numbers a token, blocks, heads."""

PATCH = 16
_DECONVOLUTION_CHANNELS = 256


class VitPose(nn.Module):
    """Input (B, 3, H, W) normalised RGB, H and W multiples of 16 -> the codec's arrays.

    Parameters
    ----------
    joints : K.
    codec : any with ``decoder="deconvolutions"``; heatmaps with ``"simple"``.
    size : of `SIZES`.
    width, depth, heads : instead of the size's own.
    decoder : ``"deconvolutions"`` (two of stride 2, then the codec's head: the paper's classic decoder) or ``"simple"``
        (ReLU, bilinear enlargement, one 3x3 convolution).
    drop_path : chance with which the last block's branches are left out for a picture in training; it rises from 0 at
        the first block. The published trainings take 0.3.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        size: str = "s",
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        decoder: str = "deconvolutions",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        width, depth, heads = width or SIZES[size][0], depth or SIZES[size][1], heads or SIZES[size][2]
        whole_numbers("width, depth and heads", (width, depth, heads), 3)
        if width % heads or not 0 <= drop_path < 1:
            raise ShapeError(
                f"width must be a multiple of heads and drop_path lie in [0, 1); got {width}, {heads}, {drop_path}"
            )
        across, down = (side // PATCH for side in codec.size_wh)
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.positions = nn.Parameter(torch.zeros(1, width, down, across))
        chances = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, chance) for chance in chances)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(_start)
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.head = _decoder(decoder, width, joints, codec)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        grid = self.patches(images)
        tokens = placed(grid, self.positions)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens).transpose(1, 2).unflatten(2, grid.shape[2:]))


class SimpleDecoder(nn.Module):
    """Features of stride 16 -> heatmaps: ReLU, bilinear enlargement to the maps' size, a 3x3 convolution."""

    def __init__(self, channels: int, joints: int, codec: HeatmapCodec) -> None:
        super().__init__()
        self.factor = PATCH / codec.stride
        self.project = nn.Conv2d(channels, joints, 3, padding=1)
        nn.init.normal_(self.project.weight, std=0.001)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        size = [round(side * self.factor) for side in features.shape[2:]]
        large = F.interpolate(torch.relu(features), size=size, mode="bilinear", align_corners=False)
        return {HeatmapCodec.array: self.project(large)}


def _decoder(name: str, width: int, joints: int, codec: Codec) -> nn.Module:
    if name == "deconvolutions":
        return nn.Sequential(
            deconvolutions(width, _DECONVOLUTION_CHANNELS, [2, 2]),
            build_head(_DECONVOLUTION_CHANNELS, joints, PATCH // 4, codec),
        )
    if name != "simple" or not isinstance(codec, HeatmapCodec):
        raise ShapeError(f"decoder is deconvolutions, or simple for heatmaps; got '{name}' with the codec {codec}")
    return SimpleDecoder(width, joints, codec)


def _start(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
