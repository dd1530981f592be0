"""The networks of system 4, for a grid or a 3D pose: its own of three convolutions and two wide layers, and a ResNet.

Source: Ashish R. Jha's Human3.6M project (datashines.github.io, post of 2019-02-02; github.com/arj7192/HumanPose3D),
after LeCun et al., Proc. IEEE 1998, and Li & Chan, ACCV 2014. It first learns the grid task (`codecs.grid`), then its
layers begin a network that gives joints in millimetres. `GridResNet` is a modern trunk with the same two heads.

They are in a table of their own, `GRID_MODELS`, not in `MODELS`: they take one grey channel of a fixed size, since
their wide layers see every position, and what they give (cells of a grid, or millimetres) is no array of a codec in
`CODECS`.

Adding a network: a module with the parameters of `GridPoseNet` that every one has (``joints``, ``head``, ``grid_wh``,
``size_wh``, ``channels``), ``transfers`` and `prediction` as its forward's last step; then its name in `GRID_MODELS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ShapeError, VitruvianError
from .layers import conv_bn_act, whole_numbers
from .resnet import ResNet

KERNELS: dict[str, tuple[int, int, int]] = {"full": (32, 64, 64), "fast": (5, 10, 15)}
"""Channels of the three convolutions: the described network's, and those its published numbers come from."""

TRANSFERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "conv": ("conv1", "conv2", "conv3"),
    "conv+fc": ("conv1", "conv2", "conv3", "fc1", "fc2"),
}
"""What goes from the grid's network to the pose's: the system's code takes ``conv``, its description ``conv+fc``."""

_CONVS = (5, 5, 6)


def inputs_of(images: Tensor) -> Tensor:
    """What the networks take: (B, h, w, channels) uint8 -> (B, channels, h, w) float from 0 to 1."""
    return images.permute(0, 3, 1, 2).float() / 255


class _GridNet(nn.Module):
    """What both networks have: a last layer that gives cells or millimetres, and checks of what goes in."""

    transfers: Mapping[str, Sequence[str]] = {}

    def __init__(
        self, joints: int, head: str, grid_wh: Sequence[int], size_wh: Sequence[int], channels: int, unit_mm: float
    ) -> None:
        super().__init__()
        whole_numbers("grid_wh", grid_wh, 2)
        whole_numbers("size_wh", size_wh, 2)
        whole_numbers("joints and channels", (joints, channels), 2)
        if head not in ("grid", "pose"):
            raise ShapeError(f"head must be grid or pose, got {head!r}")
        if not unit_mm > 0:
            raise ShapeError(f"unit_mm must be positive, got {unit_mm}")
        self.input_shape = (channels, size_wh[1], size_wh[0])
        self.name, self.shape = (
            ("grid", (joints, grid_wh[1], grid_wh[0])) if head == "grid" else ("pose_mm", (joints, 3))
        )
        self.unit = 1.0 if head == "grid" else float(unit_mm)

    def checked(self, images: Tensor) -> Tensor:
        """The images, if they have the size that the wide layers are made for."""
        if tuple(images.shape[1:]) != self.input_shape:
            raise ShapeError(f"expected images (B, {', '.join(map(str, self.input_shape))}), got {tuple(images.shape)}")
        return images

    def prediction(self, flat: Tensor) -> dict[str, Tensor]:
        """What the last layer says, (B, cells or coordinates), under its name and in its shape."""
        return {self.name: (flat * self.unit if self.unit != 1 else flat).unflatten(1, self.shape)}


class GridPoseNet(_GridNet):
    """Convolutions of 5x5, 5x5 and 6x6 without padding, each with 2x2 max pooling and tanh; 1024 and 2048 units, tanh.

    Parameters
    ----------
    joints : K.
    head : ``"grid"`` gives ``{"grid": (B, K, rows, columns)}`` logits, of which a sigmoid makes probabilities;
        ``"pose"`` gives ``{"pose_mm": (B, K, 3)}``, in millimetres relative to the root.
    kernels : channels of the convolutions; `KERNELS` has the two published sets.
    hidden : units of the two wide layers.
    grid_wh : cells across and down, for ``"grid"``.
    size_wh : the input's (width, height).
    channels : 1 for grey pictures, 3 for RGB.
    unit_mm : what a 1 of the last layer stands for, with ``"pose"``; the system's is a millimetre.

    Input (B, channels, height, width), grey levels scaled to about 0...1. Weights start Glorot-uniform, biases at 0.
    Raises `ShapeError` for options that cannot be, or an input too small for three poolings.
    """

    transfers = TRANSFERS

    def __init__(
        self,
        joints: int = 17,
        head: str = "pose",
        kernels: Sequence[int] = KERNELS["full"],
        hidden: Sequence[int] = (1024, 2048),
        grid_wh: tuple[int, int] = (10, 10),
        size_wh: tuple[int, int] = (128, 128),
        channels: int = 1,
        unit_mm: float = 1.0,
    ) -> None:
        whole_numbers("kernels", kernels, 3)
        whole_numbers("hidden", hidden, 2)
        super().__init__(joints, head, grid_wh, size_wh, channels, unit_mm)
        cells_wh = [_after_convolutions(side) for side in size_wh]
        if min(cells_wh) < 1:
            raise ShapeError(f"an input of {tuple(size_wh)} is too small; it needs at least 40 pixels a side")
        self.conv1 = nn.Conv2d(channels, kernels[0], _CONVS[0])
        self.conv2 = nn.Conv2d(kernels[0], kernels[1], _CONVS[1])
        self.conv3 = nn.Conv2d(kernels[1], kernels[2], _CONVS[2])
        self.fc1 = nn.Linear(kernels[2] * cells_wh[0] * cells_wh[1], hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.head = nn.Linear(hidden[1], math.prod(self.shape))
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.checked(images)
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(conv(x), 2).tanh()
        x = self.fc2(self.fc1(x.flatten(1)).tanh()).tanh()
        return self.prediction(self.head(x))


class GridResNet(_GridNet):
    """A ResNet, 1x1 convolution to ``neck`` channels, one wide layer with ReLU, and the heads of `GridPoseNet`.

    Source: He et al., CVPR 2016; that a network's features stay a map until a wide layer sees all of it is kept from
    system 4, since a mean over the picture would lose where things are.

    Parameters
    ----------
    joints, head, grid_wh, size_wh, channels, unit_mm : as in `GridPoseNet`; sides are multiples of 32.
    depth : 18, 34, 50, 101 or 152.
    neck : channels that the wide layer sees at stride 32.
    hidden : units of the wide layer.
    """

    transfers: Mapping[str, Sequence[str]] = {
        "none": (),
        "conv": ("backbone",),
        "conv+fc": ("backbone", "neck", "fc"),
    }

    def __init__(
        self,
        joints: int = 17,
        head: str = "pose",
        depth: int = 18,
        neck: int = 128,
        hidden: int = 1024,
        grid_wh: Sequence[int] = (10, 10),
        size_wh: Sequence[int] = (128, 128),
        channels: int = 1,
        unit_mm: float = 100.0,
    ) -> None:
        whole_numbers("neck and hidden", (neck, hidden), 2)
        super().__init__(joints, head, grid_wh, size_wh, channels, unit_mm)
        if any(side % 32 for side in size_wh):
            raise ShapeError(f"the sides must be multiples of 32, got {tuple(size_wh)}")
        if channels not in (1, 3):
            raise ShapeError(f"channels must be 1 or 3, got {channels}")
        try:
            self.backbone = ResNet(depth)
        except ValueError as error:
            raise ShapeError(str(error)) from error
        self.neck = conv_bn_act(self.backbone.channels, neck, 1)
        self.fc = nn.Linear(neck * (size_wh[0] // 32) * (size_wh[1] // 32), hidden)
        self.head = nn.Linear(hidden, math.prod(self.shape))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.checked(images)
        x = self.neck(self.backbone(x.expand(-1, 3, -1, -1) * 4 - 2))  # 0...1 -> about as wide as normalised photos
        return self.prediction(self.head(self.fc(x.flatten(1)).relu()))


GRID_MODELS: dict[str, Callable[..., Any]] = {"grid_conv": GridPoseNet, "grid_resnet": GridResNet}
"""Networks that recipes of the grid task can name."""


def build_grid_model(name: str, joints: int, head: str, **options: Any) -> Any:
    """A network with fresh weights; `VitruvianError` for an unknown name, or options that it does not take."""
    if name not in GRID_MODELS:
        raise VitruvianError(f"unknown model '{name}' for the grid task; known: {', '.join(sorted(GRID_MODELS))}")
    try:
        return GRID_MODELS[name](joints, head, **options)
    except (TypeError, ShapeError) as error:
        raise VitruvianError(f"model '{name}' cannot be built with the options {options}: {error}") from error


def transfer(source: Any, target: Any, what: str) -> tuple[str, ...]:
    """Copy weights into ``target``, whatever the two heads are; returns the names of the layers that were copied.

    Both are networks of one class of `GRID_MODELS`. ``what`` is a key of its ``transfers``; the rest of ``target``, its
    head always, stays as it is. The copies are separate tensors. Raises `ShapeError`, before anything is changed, for
    an unknown key, different classes, or a layer of another shape.
    """
    if type(source) is not type(target):
        raise ShapeError(f"nothing transfers from a {type(source).__name__} to a {type(target).__name__}")
    if what not in target.transfers:
        raise ShapeError(f"transfer must be one of {', '.join(target.transfers)}, got {what!r}")
    names = tuple(target.transfers[what])
    for name in names:
        given, wanted = ([tuple(v.shape) for v in getattr(n, name).state_dict().values()] for n in (source, target))
        if given != wanted:
            raise ShapeError(f"layer '{name}' cannot be transferred: it is {given[0]} here and {wanted[0]} there")
    for name in names:
        getattr(target, name).load_state_dict(getattr(source, name).state_dict())
    return names


def _after_convolutions(side: int) -> int:
    for kernel in _CONVS:
        side = (side - kernel + 1) // 2
    return side
