"""RTMPose: a CSPNeXt backbone, one large convolution, and a gated attention unit between the joints before SimCC.

Sources: Jiang et al., 2023, "RTMPose: Real-Time Multi-Person Pose Estimation based on MMPose", sections 3.2-3.3 and
its public configurations (github.com/open-mmlab/mmpose, projects/rtmpose), from which sizes and constants are taken;
Lyu et al., 2022, "RTMDet", section 3.2 (CSPNeXt: 5x5 depthwise convolutions, channel attention); Wang et al., CVPR
Workshops 2020, "CSPNet" (half of the channels go around the blocks); Hua et al., ICML 2022, "Transformer Quality in
Linear Time", section 3.2 (gated attention unit).

The published loss multiplies the network's answer and the labels by 10 before their softmax. Here the codec's
``temperature`` (0.1) makes the labels, and the head divides by the same number, so that the file's outputs are plain
logits and scores mean what they mean elsewhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, SimccCodec
from ..errors import ShapeError
from .layers import whole_numbers

SIZES: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "t": (24, (1, 1, 1, 1)),
    "s": (32, (1, 2, 2, 1)),
    "m": (48, (2, 4, 4, 2)),
    "l": (64, (3, 6, 6, 3)),
}
"""Size -> channels after the stem (they double at strides 4, 8, 16 and 32) and blocks at these strides."""


class RtmPose(nn.Module):
    """Input (B, 3, H, W) normalised RGB of the codec's size, H and W multiples of 32 -> logits over SimCC's bins.

    Parameters
    ----------
    joints : K.
    codec : a `SimccCodec`; its ``temperature``, if it has one, divides the logits.
    size : of `SIZES`.
    width, blocks : instead of the size's own.
    kernel : of the convolution that makes one map a joint.
    hidden : numbers a joint from there on.
    keys : length of the vectors that are compared in the attention.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        size: str = "s",
        width: int | None = None,
        blocks: tuple[int, int, int, int] | None = None,
        kernel: int = 7,
        hidden: int = 256,
        keys: int = 128,
    ) -> None:
        super().__init__()
        if not isinstance(codec, SimccCodec):
            raise ShapeError(f"RTMPose gives SimCC's bins (codec kind 'simcc'), got the codec {codec}")
        width, blocks = width or SIZES[size][0], blocks or SIZES[size][1]
        whole_numbers("blocks", blocks, 4)
        whole_numbers("width, kernel, hidden and keys", (width, kernel, hidden, keys), 4)
        if width % 2 or kernel % 2 == 0:
            raise ShapeError(f"width must be even, kernel odd, so that it has a centre; got {width} and {kernel}")
        self.backbone = CspNext(width, blocks)
        self.head = RtmHead(16 * width, joints, codec, kernel, hidden, keys)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.head(self.backbone(images))


class RtmHead(nn.Module):
    """Features (B, C, h, w) of stride 32 -> one map a joint, a vector of it, attention between joints, the bins."""

    def __init__(self, channels: int, joints: int, codec: SimccCodec, kernel: int, hidden: int, keys: int) -> None:
        super().__init__()
        cells = codec.size_wh[0] // 32 * (codec.size_wh[1] // 32)
        self.scale = 1 / (codec.temperature or 1.0)
        self.maps = nn.Conv2d(channels, joints, kernel, padding=kernel // 2)
        self.norm = ScaleNorm(cells)
        self.embed = nn.Linear(cells, hidden, bias=False)
        self.attention = GatedAttention(hidden, 2 * hidden, keys)
        self.to_x = nn.Linear(hidden, codec.bins_xy[0], bias=False)
        self.to_y = nn.Linear(hidden, codec.bins_xy[1], bias=False)
        nn.init.normal_(self.maps.weight, std=0.001)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]
        for layer in (self.embed, self.attention.out, self.to_x, self.to_y):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        joints = self.attention(self.embed(self.norm(self.maps(features).flatten(2))))
        return {"simcc_x": self.to_x(joints) * self.scale, "simcc_y": self.to_y(joints) * self.scale}


class ScaleNorm(nn.Module):
    """(..., n) divided by its root mean square, times one learnt number."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.root = math.sqrt(count)

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / self.root
        return x / length.clamp(min=1e-5) * self.gain


class GatedAttention(nn.Module):
    """One head of attention whose result is gated: (B, K, hidden) -> the same, every joint seeing all others.

    Keys and queries are one short vector a joint, scaled and shifted in two ways; the weight of a pair is the square of
    their positive part, without a softmax. Nothing says which joint is which but its place in the learnt maps.
    """

    def __init__(self, hidden: int, inner: int, keys: int) -> None:
        super().__init__()
        self.split = [inner, inner, keys]
        self.norm = ScaleNorm(hidden)
        self.project = nn.Linear(hidden, sum(self.split), bias=False)
        self.gamma = nn.Parameter(torch.rand(2, keys))
        self.beta = nn.Parameter(torch.rand(2, keys))
        self.out = nn.Linear(inner, hidden, bias=False)
        self.residual = nn.Parameter(torch.ones(hidden))
        nn.init.xavier_uniform_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        gate, values, shared = F.silu(self.project(self.norm(x))).split(self.split, dim=-1)
        queries, keys = (shared.unsqueeze(-2) * self.gamma + self.beta).unbind(-2)
        weights = torch.relu(queries @ keys.transpose(-1, -2) / math.sqrt(self.split[2])) ** 2
        return x * self.residual + self.out(gate * (weights @ values))


class CspNext(nn.Module):
    """(B, 3, H, W) -> (B, 16 width, H / 32, W / 32): a stem of three convolutions and four stages of `CspStage`."""

    def __init__(self, width: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, width // 2, 3, 2), _conv(width // 2, width // 2, 3), _conv(width // 2, width, 3)
        )
        stages = []
        for i, count in enumerate(blocks):
            channels, last = 2 * width, i == len(blocks) - 1
            pyramid = [PoolPyramid(channels)] if last else []
            stages.append(
                nn.Sequential(_conv(width, channels, 3, 2), *pyramid, CspStage(channels, count, shortcut=not last))
            )
            width = channels
        self.stages = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.stem(images))


class CspStage(nn.Module):
    """Half of the channels through the blocks, half around them; both weighed channel by channel and mixed."""

    def __init__(self, channels: int, count: int, shortcut: bool) -> None:
        super().__init__()
        half = channels // 2
        self.through, self.around = _conv(channels, half, 1), _conv(channels, half, 1)
        self.blocks = nn.Sequential(*(CspBlock(half, shortcut) for _ in range(count)))
        self.weigh = nn.Conv2d(channels, channels, 1)
        self.mix = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.blocks(self.through(x)), self.around(x)], dim=1)
        return self.mix(both * F.hardsigmoid(self.weigh(F.adaptive_avg_pool2d(both, 1))))


class CspBlock(nn.Module):
    """A 3x3 convolution, then a 5x5 one of each channel and a 1x1 across them; with or without a shortcut."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(channels, channels, 3), _conv(channels, channels, 5, groups=channels), _conv(channels, channels, 1)
        )
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class PoolPyramid(nn.Module):
    """The features beside their maxima over 5, 9 and 13 cells (He et al., ECCV 2014, as in the YOLO family)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.mix = _conv(channels, channels // 2, 1), _conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return self.mix(torch.cat([x, *(F.max_pool2d(x, side, 1, side // 2) for side in (5, 9, 13))], dim=1))


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out, eps=1e-3),  # published with momentum 0.03, by which averages lag behind short trainings
        nn.SiLU(inplace=True),
    )
