"""The convolutional network of system 4: three convolutions, two wide layers, and a grid or a 3D pose.

Source: Ashish R. Jha's Human3.6M project (datashines.github.io, post of 2019-02-02; github.com/arj7192/HumanPose3D),
after LeCun et al., Proc. IEEE 1998, and Li & Chan, ACCV 2014. It first learns the grid task (`codecs.grid`), then its
layers begin a network that gives joints in millimetres.

It is not in the table `MODELS`: it takes one grey channel of a fixed size, since its wide layers see every position,
and what it gives (cells of a grid, or millimetres) is no array of a codec in `CODECS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ShapeError
from .layers import whole_numbers

KERNELS: dict[str, tuple[int, int, int]] = {"full": (32, 64, 64), "fast": (5, 10, 15)}
"""Channels of the three convolutions: the described network's, and those its published numbers come from."""

TRANSFERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "conv": ("conv1", "conv2", "conv3"),
    "conv+fc": ("conv1", "conv2", "conv3", "fc1", "fc2"),
}
"""What goes from the grid's network to the pose's: the system's code takes ``conv``, its description ``conv+fc``."""

_CONVS = (5, 5, 6)


class GridPoseNet(nn.Module):
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

    Input (B, channels, height, width), grey levels scaled to about 0...1. Weights start Glorot-uniform, biases at 0.
    Raises `ShapeError` for options that cannot be, or an input too small for three poolings.
    """

    def __init__(
        self,
        joints: int = 17,
        head: str = "pose",
        kernels: Sequence[int] = KERNELS["full"],
        hidden: Sequence[int] = (1024, 2048),
        grid_wh: tuple[int, int] = (10, 10),
        size_wh: tuple[int, int] = (128, 128),
        channels: int = 1,
    ) -> None:
        super().__init__()
        whole_numbers("kernels", kernels, 3)
        whole_numbers("hidden", hidden, 2)
        whole_numbers("grid_wh", grid_wh, 2)
        whole_numbers("size_wh", size_wh, 2)
        whole_numbers("joints and channels", (joints, channels), 2)
        if head not in ("grid", "pose"):
            raise ShapeError(f"head must be grid or pose, got {head!r}")
        cells_wh = [_after_convolutions(side) for side in size_wh]
        if min(cells_wh) < 1:
            raise ShapeError(f"an input of {tuple(size_wh)} is too small; it needs at least 40 pixels a side")
        self.input_shape = (channels, size_wh[1], size_wh[0])
        self.name, self.shape = (
            ("grid", (joints, grid_wh[1], grid_wh[0])) if head == "grid" else ("pose_mm", (joints, 3))
        )
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
        if tuple(images.shape[1:]) != self.input_shape:
            raise ShapeError(f"expected images (B, {', '.join(map(str, self.input_shape))}), got {tuple(images.shape)}")
        x = images
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(conv(x), 2).tanh()
        x = self.fc2(self.fc1(x.flatten(1)).tanh()).tanh()
        return {self.name: self.head(x).unflatten(1, self.shape)}


def transfer(source: GridPoseNet, target: GridPoseNet, what: str) -> tuple[str, ...]:
    """Copy weights into ``target``, whatever the two heads are; returns the names of the layers that were copied.

    ``what`` is a key of `TRANSFERS`; the rest of ``target``, its head always, stays as it is. The copies are separate
    tensors. Raises `ShapeError`, before anything is changed, for an unknown key or a layer of another shape.
    """
    if what not in TRANSFERS:
        raise ShapeError(f"transfer must be one of {', '.join(TRANSFERS)}, got {what!r}")
    for name in TRANSFERS[what]:
        given, wanted = (tuple(getattr(network, name).weight.shape) for network in (source, target))
        if given != wanted:
            raise ShapeError(f"layer '{name}' cannot be transferred: it is {given} here and {wanted} there")
    for name in TRANSFERS[what]:
        getattr(target, name).load_state_dict(getattr(source, name).state_dict())
    return TRANSFERS[what]


def _after_convolutions(side: int) -> int:
    for kernel in _CONVS:
        side = (side - kernel + 1) // 2
    return side
