"""Discriminators of adversarial pose estimation: maps (and the picture) in, one logit for each joint out.

Sources: Chen et al., ICCV 2017, "Adversarial PoseNet", sections 3.2 and 3.3 (a conditional encoder-decoder with skips;
the pose discriminator sees picture and maps, the confidence discriminator maps alone); the network of convolutions and
two linear layers of github.com/YUNSUCHO/Localizing-human-pose-in-adversarial-way-with-MPII-dataset; Chou et al., APSIPA
2018 (an hourglass that rebuilds the maps).

All see real and generated maps at the same size and smoothness: the codec's own maps, with the picture averaged down to
their size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ShapeError
from .hourglass import PreHourglass, PreResidual


class FcDiscriminator(nn.Module):
    """Five bottlenecks with instance norm, a pooling after each but the first, two linear layers.

    With 16 joints, a picture, 128 channels and maps of 256x256 it has 4.46 M parameters, as in the system.
    """

    def __init__(self, joints: int, picture: bool, map_wh: tuple[int, int], width: int = 128) -> None:
        super().__init__()
        if map_wh[0] % 16 or map_wh[1] % 16:
            raise ShapeError(f"the 'fc' discriminator needs maps of multiples of 16, got {map_wh}")
        c_in = joints + 3 * picture
        self.blocks = nn.ModuleList(_InstanceResidual(c_in if i == 0 else width, width) for i in range(5))
        cells = (map_wh[0] // 16) * (map_wh[1] // 16)
        self.score = nn.Sequential(nn.Flatten(), nn.Linear(width * cells, 128), nn.ReLU(), nn.Linear(128, joints))

    def forward(self, maps: Tensor, picture: Tensor | None = None) -> Tensor:
        """(B, K, h, w) maps and, if it takes one, a (B, 3, h, w) picture -> (B, K) logits."""
        x = maps if picture is None else torch.cat([maps, picture], dim=1)
        for i, block in enumerate(self.blocks):
            x = block(x)
            x = F.max_pool2d(x, 2) if i else x
        return self.score(x)


class EncoderDecoderDiscriminator(nn.Module):
    """An hourglass with skips over four scales; a joint's logit is the mean of its map of evidence."""

    def __init__(self, joints: int, picture: bool, map_wh: tuple[int, int], width: int = 128) -> None:
        super().__init__()
        if map_wh[0] % 16 or map_wh[1] % 16:
            raise ShapeError(f"the 'encoder_decoder' discriminator needs maps of multiples of 16, got {map_wh}")
        self.start = nn.Conv2d(joints + 3 * picture, width, 3, padding=1)
        self.hourglass = PreHourglass(4, width)
        self.end = nn.Sequential(PreResidual(width, width), nn.BatchNorm2d(width), nn.ReLU())
        self.score = nn.Conv2d(width, joints, 1)

    def forward(self, maps: Tensor, picture: Tensor | None = None) -> Tensor:
        """As `FcDiscriminator.forward`."""
        x = maps if picture is None else torch.cat([maps, picture], dim=1)
        return self.score(self.end(self.hourglass(self.start(x)))).mean(dim=(-2, -1))


class MapAutoencoder(nn.Module):
    """An hourglass that rebuilds (B, K, h, w) maps from themselves and the picture, for the boundary equilibrium."""

    def __init__(self, joints: int, map_wh: tuple[int, int], width: int = 128) -> None:
        super().__init__()
        if map_wh[0] % 16 or map_wh[1] % 16:
            raise ShapeError(f"the autoencoder needs maps of multiples of 16, got {map_wh}")
        self.start = nn.Conv2d(joints + 3, width, 3, padding=1)
        self.hourglass = PreHourglass(4, width)
        self.end = nn.Sequential(PreResidual(width, width), nn.BatchNorm2d(width), nn.ReLU())
        self.maps = nn.Conv2d(width, joints, 1)

    def forward(self, maps: Tensor, picture: Tensor) -> Tensor:
        return self.maps(self.end(self.hourglass(self.start(torch.cat([maps, picture], dim=1)))))


class _InstanceResidual(nn.Module):
    """(convolution, instance norm, ReLU) x 3 with half the width inside, and a 1x1 shortcut where widths differ."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        half = c_out // 2
        self.body = nn.Sequential(
            nn.Conv2d(c_in, half, 1), nn.InstanceNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1), nn.InstanceNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, c_out, 1), nn.InstanceNorm2d(c_out), nn.ReLU(),
        )  # fmt: skip
        self.shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


DISCRIMINATORS: dict[str, type[nn.Module]] = {
    "encoder_decoder": EncoderDecoderDiscriminator,
    "fc": FcDiscriminator,
}
