"""Stacked hourglass networks, in the two forms of the systems this project implements.

Source: Newell et al., ECCV 2016, "Stacked Hourglass Networks for Human Pose Estimation", section 3.

- ``residual="post"``: post-activation bottlenecks (convolution, ReLU, batch norm, three times), three poolings, 64x64
  down to 8x8; the network of the COCO system trained from scratch (github.com/robertklee/COCO-Human-Pose).
- ``residual="pre"``: the original's pre-activation residuals and four poolings, 64x64 down to 4x4; the generator of the
  adversarial system (after github.com/princeton-vl/pytorch_stacked_hourglass). ``project="always"`` puts a 1x1
  convolution on every shortcut, which gives the parameter count of the published code; that code makes these
  convolutions but never uses those between equal widths, here they are used.

The COCO system also makes the convolutions that hand on from its last stack, although nobody follows; they are left out
here, so its published counts are ours plus ``width * (width + 1) + width * (joints + 1)``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, HeatmapCodec
from ..errors import ShapeError

STACKS = "stacks"
"""Name of the array with every stack's maps, (B, S, K, h, w), which the network adds while it trains."""

_HEADS: dict[str, Callable[[], nn.Module]] = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class PostBottleneck(nn.Module):
    """(convolution, ReLU, batch norm) x 3 with half the width inside; identity or 1x1 + ReLU shortcut.

    ``separable`` makes the 3x3 convolution depthwise + pointwise: the "mobile" variant.
    """

    def __init__(self, c_in: int, c_out: int, separable: bool = False) -> None:
        super().__init__()
        half = c_out // 2
        self.conv1 = _conv_relu_bn(nn.Conv2d(c_in, half, 1), half)
        self.conv2 = _conv_relu_bn(_separable(half) if separable else nn.Conv2d(half, half, 3, padding=1), half)
        self.conv3 = _conv_relu_bn(nn.Conv2d(half, c_out, 1), c_out)
        self.shortcut = nn.Identity() if c_in == c_out else nn.Sequential(nn.Conv2d(c_in, c_out, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


class PreResidual(nn.Module):
    """(batch norm, ReLU, convolution) x 3 with half the width inside, and an identity or 1x1 shortcut."""

    def __init__(self, c_in: int, c_out: int, project_always: bool = False) -> None:
        super().__init__()
        half = c_out // 2
        self.conv1 = _bn_relu_conv(c_in, nn.Conv2d(c_in, half, 1))
        self.conv2 = _bn_relu_conv(half, nn.Conv2d(half, half, 3, padding=1))
        self.conv3 = _bn_relu_conv(half, nn.Conv2d(half, c_out, 1))
        self.shortcut = nn.Conv2d(c_in, c_out, 1) if project_always or c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)


class PostHourglass(nn.Module):
    """Three poolings; three bottlenecks and a skip at the bottom; a bottleneck after every addition on the way up."""

    def __init__(self, width: int, separable: bool) -> None:
        super().__init__()
        block = partial(PostBottleneck, width, width, separable)
        self.left = nn.ModuleList(block() for _ in range(4))
        self.bottom, self.bottom_skip = nn.Sequential(block(), block(), block()), block()
        self.skips = nn.ModuleList(block() for _ in range(3))
        self.connect = nn.ModuleList(block() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for i, block in enumerate(self.left):
            x = block(F.max_pool2d(x, 2) if i else x)
            features.append(x)
        x = self.bottom(x) + self.bottom_skip(x)
        for skip, connect, side in zip(self.skips, self.connect, reversed(features[:3]), strict=True):
            x = connect(skip(side) + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class PreHourglass(nn.Module):
    """Recursive: a skip residual beside pool, residual, the next smaller hourglass, residual, upsampling."""

    def __init__(self, depth: int, width: int, project_always: bool = False) -> None:
        super().__init__()
        block = partial(PreResidual, width, width, project_always)
        self.skip, self.low1, self.low3 = block(), block(), block()
        self.low2 = PreHourglass(depth - 1, width, project_always) if depth > 1 else block()

    def forward(self, x: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")


class StackedHourglass(nn.Module):
    """``stacks`` hourglasses with a heatmap head each; the maps and features of one feed the next.

    Input (B, 3, H, W) normalised RGB, H and W multiples of 64 (``"pre"``) or 32 (``"post"``); maps of stride 4. In
    training the arrays also hold `STACKS`, every stack's maps, for intermediate supervision.

    Parameters
    ----------
    joints : K.
    codec : a `HeatmapCodec` of stride 4.
    stacks : number of hourglasses.
    width : channels, an even number.
    residual : ``"post"`` or ``"pre"``, see the module's docstring.
    project : ``"needed"`` or ``"always"``, for ``"pre"``.
    separable : the "mobile" variant, for ``"post"``.
    head : ``"linear"``, ``"sigmoid"`` or ``"relu"`` after the maps.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        stacks: int = 2,
        width: int = 256,
        residual: str = "post",
        project: str = "needed",
        separable: bool = False,
        head: str = "linear",
    ) -> None:
        super().__init__()
        _check(codec, stacks, width, residual, project, separable, head)
        post, always = residual == "post", project == "always"
        block: Callable[[int, int], nn.Module] = (
            partial(PostBottleneck, separable=separable) if post else partial(PreResidual, project_always=always)
        )
        stem = nn.Conv2d(3, 64, 7, 2, 3)
        first = _conv_relu_bn(stem, 64) if post else nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU())
        self.stem = nn.Sequential(first, block(64, 128), nn.MaxPool2d(2), block(128, 128), block(128, width))
        self.hourglasses = nn.ModuleList(
            PostHourglass(width, separable) if post else PreHourglass(4, width, always) for _ in range(stacks)
        )
        self.features = nn.ModuleList(_features(width, post, always) for _ in range(stacks))
        self.heads = nn.ModuleList(nn.Conv2d(width, joints, 1) for _ in range(stacks))
        # The last stack has nobody to hand on to.
        self.merge_features = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))
        self.merge_maps = nn.ModuleList(nn.Conv2d(joints, width, 1) for _ in range(stacks - 1))
        self.activation = _HEADS[head]()

    def every_stack(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, S, K, h, w), the maps of each stack in order."""
        x = self.stem(images)
        every = []
        for i, (hourglass, features, head) in enumerate(zip(self.hourglasses, self.features, self.heads, strict=True)):
            y = features(hourglass(x))
            maps = self.activation(head(y))
            every.append(maps)
            if i < len(self.merge_maps):
                x = x + self.merge_features[i](y) + self.merge_maps[i](maps)
        return torch.stack(every, dim=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        every = self.every_stack(images)
        arrays = {HeatmapCodec.array: every[:, -1]}
        if self.training:
            arrays[STACKS] = every
        return arrays


def _check(codec: Codec, stacks: int, width: int, residual: str, project: str, separable: bool, head: str) -> None:
    if not isinstance(codec, HeatmapCodec) or codec.stride != 4:
        raise ShapeError(f"an hourglass gives heatmaps of stride 4, got the codec {codec}")
    if residual not in ("post", "pre") or project not in ("needed", "always") or head not in _HEADS:
        raise ShapeError(
            f"residual is post or pre, project needed or always, head one of {sorted(_HEADS)}; got '{residual}', "
            f"'{project}', '{head}'"
        )
    if type(stacks) is not int or stacks < 1 or type(width) is not int or width < 2 or width % 2:
        raise ShapeError(f"stacks is at least 1 and width an even number, got stacks {stacks!r}, width {width!r}")
    if separable and residual == "pre":
        raise ShapeError("separable belongs to residual 'post'; got 'pre'")
    unit = 32 if residual == "post" else 64
    if any(side % unit for side in codec.size_wh):
        raise ShapeError(f"residual '{residual}' needs an input of multiples of {unit}, got {codec.size_wh}")


def _features(width: int, post: bool, always: bool) -> nn.Sequential:
    if post:
        return _conv_relu_bn(nn.Conv2d(width, width, 1), width)
    last = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(PreResidual(width, width, always), *last)


def _conv_relu_bn(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(channels))


def _bn_relu_conv(channels: int, conv: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), conv)


def _separable(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False), nn.Conv2d(channels, channels, 1)
    )
