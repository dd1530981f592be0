"""Bricks between harmonic convolutions, none of which disturbs how orders turn; layout and sign as in `harmonic`.

Sources: Worrall et al., CVPR 2017, "Harmonic Networks", section 4 (C-ReLU, norm of magnitudes, mean pooling); gates and
the norm without memory as github.com/jatentaki/harmonic has them; blocks of the U-Net of system 0
(github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ShapeError
from .harmonic import HConv, checked_streams, magnitude, scaled


class MagnitudeNorm(nn.Module):
    """Divides each channel by the root of its mean squared magnitude, of order 0 after subtracting its mean.

    Only order 0 has a mean that survives turning: what is turned differently in each picture averages to nothing, or to
    something that depends on how the pictures happen to lie. Running statistics as in ``nn.BatchNorm2d``, but for their
    correction by n / (n - 1); no parameters.
    """

    running_mean: Tensor
    running_power: Tensor
    centred: Tensor

    def __init__(self, streams: Sequence[int], momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        channels = sum(checked_streams("streams", streams))
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(2 * channels))
        self.register_buffer("running_power", torch.ones(channels))
        centred = (torch.arange(channels) < streams[0]).float().repeat(2)
        self.register_buffer("centred", centred, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W); `ShapeError` for a single value a channel in training, which has no spread."""
        if self.training:
            _need_several(x)
            var, mean = torch.var_mean(x.to(self.running_mean.dtype), dim=(0, 2, 3), correction=0)
            shift = mean * self.centred
            power = (var + (mean - shift).square()).unflatten(0, (2, -1)).sum(0)
            with torch.no_grad():
                self.running_mean.lerp_(shift, self.momentum)
                self.running_power.lerp_(power, self.momentum)
        else:
            shift, power = self.running_mean, self.running_power
        scale = (power + self.eps).rsqrt().repeat(2)
        offset = -shift * scale
        return torch.addcmul(offset.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])


class LibraryNorm(nn.Module):
    """As the library has it: the batch's complex mean of every order off, over the deviation of magnitudes + 0.01.

    Always of the batch at hand, so that people of a batch see each other even when predicting, and with order 1 or more
    not faithful to turning unless all pictures of a batch turn together. For repeating the system, and only for that.
    """

    def __init__(self, streams: Sequence[int]) -> None:
        super().__init__()
        checked_streams("streams", streams)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W); `ShapeError` for a single value a channel, which has no spread."""
        _need_several(x)
        x = x - x.mean((0, 2, 3), keepdim=True)
        return scaled(x, 1 / (magnitude(x).std((0, 2, 3), keepdim=True) + 1e-2))


class ScalarGate(nn.Module):
    """Each channel times a number in 0 ... 1 that 1x1 convolutions make of the magnitudes of all channels and orders.

    ``layers``: 1, or 2 with a ReLU between.
    """

    def __init__(self, streams: Sequence[int], layers: int = 1) -> None:
        super().__init__()
        channels = sum(checked_streams("streams", streams))
        if layers not in (1, 2):
            raise ShapeError(f"a scalar gate has 1 or 2 layers, got {layers!r}")
        first = [nn.Conv2d(channels, channels, 1), nn.ReLU()] if layers == 2 else []
        self.score = nn.Sequential(*first, nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W)."""
        return scaled(x, self.score(magnitude(x)).sigmoid())


class CRelu(nn.Module):
    """ReLU(|z| + b) z / |z|, with one b a channel; the phase stays.

    b starts at -0.5, which silences the weakest fifth of what a norm of magnitudes gives: at 0 nothing would bend.
    """

    def __init__(self, streams: Sequence[int]) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((sum(checked_streams("streams", streams)),), -0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W)."""
        size = magnitude(x)
        return scaled(x, F.relu(size + self.bias[:, None, None]) / size)


class StreamDropout(nn.Module):
    """Drops whole complex channels: real and imaginary part together, or the phase would change."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ShapeError(f"dropout is in 0 ... 1, got {p!r}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, H, W)."""
        if not self.training or self.p == 0:
            return x
        return scaled(x, F.dropout(x.new_ones(len(x), x.shape[1] // 2, 1, 1), self.p))


GATES: dict[str, type[nn.Module]] = {"crelu": CRelu, "scalar": ScalarGate, "scalar2": ScalarGate}
NORMS: dict[str, type[nn.Module]] = {"library": LibraryNorm, "running": MagnitudeNorm}


@dataclass(frozen=True)
class HarmonicStyle:
    """What all convolutions of a network have in common.

    Attributes
    ----------
    size : of the filters, odd.
    gate : ``"scalar"`` (one layer), ``"scalar2"`` (two) or ``"crelu"``.
    norm : ``"running"`` or ``"library"``.
    stretched : the library's taps, see `HConv`.
    """

    size: int = 3
    gate: str = "scalar"
    norm: str = "running"
    stretched: bool = False

    def __post_init__(self) -> None:
        if self.gate not in GATES or self.norm not in NORMS:
            raise ShapeError(
                f"gate is one of {sorted(GATES)} and norm one of {sorted(NORMS)}, got '{self.gate}', '{self.norm}'"
            )

    def unit(self, streams_in: Sequence[int], streams_out: Sequence[int], real_input: bool = False) -> nn.Sequential:
        """Convolution, norm, gate."""
        options = {"layers": 2} if self.gate == "scalar2" else {}
        return nn.Sequential(
            HConv(streams_in, streams_out, self.size, self.stretched, real_input=real_input),
            NORMS[self.norm](streams_out),
            GATES[self.gate](streams_out, **options),
        )


class HarmonicBlock(nn.Sequential):
    """Two units, then dropout."""

    def __init__(
        self,
        streams_in: Sequence[int],
        streams_out: Sequence[int],
        style: HarmonicStyle,
        dropout: float,
        real_input: bool = False,
    ) -> None:
        first = style.unit(streams_in, streams_out, real_input)
        super().__init__(first, style.unit(streams_out, streams_out), StreamDropout(dropout))


class HarmonicUp(nn.Module):
    """Twice as fine by bilinear interpolation, then one unit."""

    def __init__(self, streams_in: Sequence[int], streams_out: Sequence[int], style: HarmonicStyle) -> None:
        super().__init__()
        self.unit = style.unit(streams_in, streams_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C_in, H, W) -> (B, 2 C_out, 2 H, 2 W)."""
        return self.unit(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


def _need_several(x: Tensor) -> None:
    if x.shape[0] * x.shape[2] * x.shape[3] < 2:
        raise ShapeError(f"a norm of the batch needs more than one value a channel, got {tuple(x.shape)}")
