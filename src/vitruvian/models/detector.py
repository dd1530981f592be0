"""PersonNet: this project's small detector of people for CPUs.

The body is CompactNet's way (plain 3x3 convolutions, one top-down pass), the head that of FCOS (Tian et al., ICCV 2019,
section 3): one small tower for all strides, that ends in a score and in four distances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import BoxesCodec, Codec
from ..errors import VitruvianError
from .layers import basic_stage, conv_bn_act, twice, whole_numbers

_STRIDES = (8, 16, 32)
_RARE = 0.01
"""What the untrained network takes for a person: points with somebody are rare (Lin et al., ICCV 2017, section 3.3)."""


class PersonNet(nn.Module):
    """Stages at strides 2 to 32, top-down fusion to strides 16 and 8, and one head for strides 8, 16 and 32.

    Parameters
    ----------
    joints : not used; a detector finds boxes.
    codec : a `BoxesCodec` of strides 8, 16, 32.
    widths : channels at strides 2, 4, 8, 16 and 32.
    depths : residual blocks at strides 8, 16 and 32.
    inner : channels inside of those blocks; ``widths`` where it is not given. Stem and stages are called as those of
        `CompactNet`, and of its shape with the same ``widths``, ``depths`` and ``inner``: they can begin as a pose
        model's.
    neck : channels of the fused features and of the head.

    Raises
    ------
    VitruvianError
        Another codec.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        widths: tuple[int, int, int, int, int] = (16, 32, 72, 112, 160),
        depths: tuple[int, int, int] = (1, 2, 2),
        neck: int = 64,
        inner: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if not isinstance(codec, BoxesCodec) or codec.strides != _STRIDES:
            raise VitruvianError(f"a person detector needs a codec of boxes at strides {_STRIDES}, got {codec}")
        whole_numbers("widths", widths, 5)
        whole_numbers("depths", depths, 3, least=0)
        whole_numbers("neck", (neck,), 1)
        inner = inner or widths[2:]
        whole_numbers("inner", inner, 3)
        w2, w4, w8, w16, w32 = widths
        self.stem = nn.Sequential(conv_bn_act(3, w2, 3, 2), conv_bn_act(w2, w4, 3, 2))
        self.stage8 = basic_stage(w4, w8, depths[0], inner[0])
        self.stage16 = basic_stage(w8, w16, depths[1], inner[1])
        self.stage32 = basic_stage(w16, w32, depths[2], inner[2])
        self.pool = nn.MaxPool2d(5, 1, 2)  # a person may fill the picture: three make 13x13 cells (SPP)
        self.side32 = conv_bn_act(4 * w32, neck, 1)
        self.side16 = conv_bn_act(w16, neck, 1, act=False)
        self.side8 = conv_bn_act(w8, neck, 1, act=False)
        self.fuse16 = conv_bn_act(neck, neck, 3)
        self.fuse8 = conv_bn_act(neck, neck, 3)
        self.tower = nn.ModuleList(conv_bn_act(neck, neck, 3) for _ in _STRIDES)
        self.people = nn.Conv2d(neck, 1, 1)
        self.edges = nn.Conv2d(neck, 4, 1)
        nn.init.constant_(self.people.bias, -math.log(1 / _RARE - 1))  # type: ignore[arg-type]
        nn.init.constant_(self.edges.bias, 2.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised RGB -> ``people`` (B, A) logits and ``edges`` (B, A, 4) distances in pixels."""
        x8 = self.stage8(self.stem(images))
        x16 = self.stage16(x8)
        x32 = self.stage32(x16)
        around = [x32]
        for _ in range(3):
            around.append(self.pool(around[-1]))
        y32 = self.side32(torch.cat(around, dim=1))
        y16 = self.fuse16(torch.relu(self.side16(x16) + twice(y32)))
        y8 = self.fuse8(torch.relu(self.side8(x8) + twice(y16)))
        people, edges = [], []
        for y, tower, stride in zip((y8, y16, y32), self.tower, _STRIDES, strict=True):
            y = tower(y)
            people.append(self.people(y).flatten(1))
            edges.append(F.softplus(self.edges(y).float()).flatten(2).transpose(1, 2) * stride)
        return {"people": torch.cat(people, dim=1).float(), "edges": torch.cat(edges, dim=1)}
