"""Residual blocks. Source: He et al., CVPR 2016, figures 3 and 5; stride on the 3x3 as in the common "v1.5" form."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn_act(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution without bias, batch norm and (unless ``act`` is False) ReLU; same-size padding at stride 1."""
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    return nn.Identity() if c_in == c_out and stride == 1 else conv_bn_act(c_in, c_out, 1, stride, act=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34); ``inner`` channels between them, or ``width``."""

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, inner: int | None = None) -> None:
        super().__init__()
        inner = width if inner is None else inner
        self.conv1 = conv_bn_act(c_in, inner, 3, stride)
        self.conv2 = conv_bn_act(inner, width, 3, act=False)
        self.shortcut = _shortcut(c_in, width, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv2(self.conv1(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with four times as many channels out (ResNet-50, -101 and -152)."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        c_out = width * self.expansion
        self.conv1 = conv_bn_act(c_in, width, 1)
        self.conv2 = conv_bn_act(width, width, 3, stride)
        self.conv3 = conv_bn_act(width, c_out, 1, act=False)
        self.shortcut = _shortcut(c_in, c_out, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x))


def basic_stage(c_in: int, width: int, depth: int, inner: int) -> nn.Sequential:
    """A convolution that halves the resolution, then ``depth`` blocks; `CompactNet`'s, and so `PersonNet`'s."""
    blocks = (BasicBlock(width, width, inner=inner) for _ in range(depth))
    return nn.Sequential(conv_bn_act(c_in, width, 3, 2), *blocks)


def twice(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2 H, 2 W), each value four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
