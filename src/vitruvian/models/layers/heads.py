"""Heads: features -> the arrays of a codec. `build_head` picks the one that belongs to a codec."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...codecs import Codec, HeatmapCodec, PixelsCodec, SimccCodec
from ...codecs.heatmap import PRESENCE
from ...errors import ShapeError


class HeatmapHead(nn.Module):
    """1x1 convolution to K maps, enlarged by a pixel shuffle where features are coarser than the codec's maps.

    The shuffle (Shi et al., CVPR 2016) costs a fraction of a transposed convolution on CPUs: all arithmetic stays on
    the coarse grid. With ``presence`` one linear layer says whether each joint is in the picture, of the features'
    means and maxima and the maps' peaks.
    """

    def __init__(self, channels: int, joints: int, feature_stride: int, codec: HeatmapCodec) -> None:
        super().__init__()
        if feature_stride % codec.stride or feature_stride == 0:
            raise ShapeError(f"features of stride {feature_stride} cannot give heatmaps of stride {codec.stride}")
        factor = feature_stride // codec.stride
        self.project = nn.Conv2d(channels, joints * factor**2, 1)
        self.shuffle = nn.PixelShuffle(factor) if factor > 1 else nn.Identity()
        # Heatmaps are nearly empty, so starting near zero spares the first epochs.
        nn.init.normal_(self.project.weight, std=0.001)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]
        self.presence = nn.Linear(2 * channels + joints, joints) if codec.presence else None

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        maps = self.shuffle(self.project(features))
        if self.presence is None:
            return {HeatmapCodec.array: maps}
        # Maps learn where joints are; whether they are there must not pull at them.
        seen = (features.mean((2, 3)), features.amax((2, 3)), maps.detach().amax((2, 3)))
        return {HeatmapCodec.array: maps, PRESENCE: self.presence(torch.cat(seen, dim=1))}


class SimccHead(nn.Module):
    """K maps, flattened, then one linear layer to the bins of each axis (Li et al., ECCV 2022, figure 2)."""

    def __init__(self, channels: int, joints: int, feature_stride: int, codec: SimccCodec) -> None:
        super().__init__()
        width, height = (side // feature_stride for side in codec.size_wh)
        self.project = nn.Conv2d(channels, joints, 1)
        self.to_x = nn.Linear(width * height, codec.bins_xy[0])
        self.to_y = nn.Linear(width * height, codec.bins_xy[1])

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        flat = self.project(features).flatten(2)
        return {"simcc_x": self.to_x(flat), "simcc_y": self.to_y(flat)}


class PixelHeads(nn.Module):
    """One 1x1 convolution a head of the codec, enlarged by a pixel shuffle where features are coarser than its maps.

    Weights start as Keras starts a layer that says nothing else (Glorot, uniform), as in system 0.
    """

    def __init__(self, channels: int, joints: int, feature_stride: int, codec: PixelsCodec) -> None:
        super().__init__()
        if feature_stride % codec.stride or feature_stride == 0:
            raise ShapeError(f"features of stride {feature_stride} cannot give maps of stride {codec.stride}")
        factor = feature_stride // codec.stride
        self.project = nn.ModuleDict(
            {head: nn.Conv2d(channels, shape[0] * factor**2, 1) for head, shape in codec.shapes(joints).items()}
        )
        self.shuffle = nn.PixelShuffle(factor) if factor > 1 else nn.Identity()
        for project in self.project.values():
            nn.init.xavier_uniform_(project.weight)  # type: ignore[arg-type]
            nn.init.zeros_(project.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {head: self.shuffle(project(features)) for head, project in self.project.items()}


def build_head(channels: int, joints: int, feature_stride: int, codec: Codec) -> nn.Module:
    """The head for a codec; `ShapeError` for a codec that no head serves."""
    if isinstance(codec, HeatmapCodec):
        return HeatmapHead(channels, joints, feature_stride, codec)
    if isinstance(codec, SimccCodec):
        return SimccHead(channels, joints, feature_stride, codec)
    if isinstance(codec, PixelsCodec):
        return PixelHeads(channels, joints, feature_stride, codec)
    raise ShapeError(f"no head for a codec of kind '{codec.kind}'; known: heatmap, pixels, simcc")
