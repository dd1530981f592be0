"""Attention bricks: features (B, C, h, w) -> M maps (B, M, h, w) to multiply features with.

Sources, by kind:

- softmax and CRF: Chu et al., CVPR 2017, "Multi-Context Attention for Human Pose Estimation", section 3.1 and its code
  (github.com/bearpaw/pose-attention), which github.com/akmeraki/Pose_estimation ported: the unary U is a 3x3
  convolution of the features, K one shared kernel, Q_1 = sigmoid(K * U + U), then Q_t = sigmoid(K * Q_(t-1) + U).
- Gaussian: Gregor et al., ICML 2015, "DRAW", section 3.2: a row of filters along each axis, and a map a_y a_x^T.
- spatial transformer: Jaderberg et al., NeurIPS 2015, section 3: localiser, affine grid, bilinear sampling. Theirs
  samples the features. Heatmaps are read in the input's frame, which moved features would leave; so here a gate goes
  through the sampler, and the features stay where they are.

Positions along an axis run from -1 to 1 between the outer edges of the first and the last pixel: pixel u of n has its
centre at (2 u + 1) / n - 1. Nothing depends on h and w, so one brick serves inputs of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ShapeError
from .options import whole_numbers


class SoftmaxAttention(nn.Module):
    """A softmax over all locations of a 3x3 convolution's scores; ``mean_one`` as in `spread_out`."""

    def __init__(self, channels: int, maps: int, mean_one: bool = True) -> None:
        super().__init__()
        self.mean_one = mean_one
        self.score = nn.Conv2d(channels, maps, 3, padding=1, bias=False)  # a softmax would not see a bias

    def forward(self, features: Tensor) -> Tensor:
        return spread_out(_over_locations(self.score(features)), self.mean_one).to(features.dtype)


class CrfAttention(nn.Module):
    """Mean-field inference of a field of on/off locations, ``iterations`` times with one ``kernel`` x ``kernel``.

    Every map has a kernel of its own. With ``kernel`` 1 (the system's) a location does not see its neighbours.
    """

    def __init__(self, channels: int, maps: int, kernel: int = 11, iterations: int = 3) -> None:
        super().__init__()
        whole_numbers("crf_kernel and crf_iterations", (kernel, iterations), 2)
        if kernel % 2 == 0:
            raise ShapeError(f"crf_kernel must be odd, so that it has a centre; got {kernel}")
        self.iterations = iterations
        self.unary = nn.Conv2d(channels, maps, 3, padding=1)
        self.kernel = nn.Conv2d(maps, maps, kernel, padding=kernel // 2, groups=maps, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        unary = self.unary(features)
        chance = unary  # the first pass convolves the unary itself, not yet a probability
        for _ in range(self.iterations):
            chance = torch.sigmoid(self.kernel(chance) + unary)
        return chance


class GaussianAttention(nn.Module):
    """Along each axis the mean of ``filters`` Gaussians, whose first centre, spacing and sigma a localiser finds.

    They start evenly spread over the axis. Sigma and spacing stay within a factor of e^2 of their start, at which a
    Gaussian is about a pixel wide on maps of 48.
    """

    def __init__(self, channels: int, maps: int, filters: int = 3, mean_one: bool = True) -> None:
        super().__init__()
        whole_numbers("gaussians", (filters,), 1)
        self.filters, self.mean_one = filters, mean_one
        self.localiser = Localiser(channels, maps, 2 * (1 / filters - 1, 0.0, 0.0))

    def forward(self, features: Tensor) -> Tensor:
        first, spacing, sigma = self.localiser(features).unflatten(-1, (2, 3)).unbind(-1)  # each (B, M, 2): x, y
        spacing = 2 / self.filters * torch.exp(2 * torch.tanh(spacing))
        sigma = 1 / self.filters * torch.exp(2 * torch.tanh(sigma))
        height, width = features.shape[-2:]
        along_x, along_y = (
            gaussian_bank(first[..., i], spacing[..., i], sigma[..., i], self.filters, size).sum(-2) / self.filters
            for i, size in enumerate((width, height))
        )
        return spread_out(along_y.unsqueeze(-1) * along_x.unsqueeze(-2), self.mean_one).to(features.dtype)


class TransformerAttention(nn.Module):
    """A sigmoid gate, sampled through an affine map that a localiser finds; outside of the gate there is 0.

    At the start the map is the identity, and the gate comes out as it is.
    """

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, maps, 3, padding=1)
        self.localiser = Localiser(channels, maps, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))

    def forward(self, features: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(features).float())
        return affine_sample(gate, self.localiser(features)).to(features.dtype)


class Localiser(nn.Module):
    """Features (B, C, h, w) -> P numbers for each of M maps, (B, M, P) float32; ``start`` for every picture at first.

    16 soft landmarks (the softmax of a 1x1 convolution over all locations) say where things are by their mean and
    spread along both axes, and a linear layer makes the numbers from these.
    """

    def __init__(self, channels: int, maps: int, start: Sequence[float], landmarks: int = 16) -> None:
        super().__init__()
        self.maps = maps
        self.landmarks = nn.Conv2d(channels, landmarks, 1, bias=False)
        self.numbers = nn.Linear(4 * landmarks, maps * len(start))
        nn.init.zeros_(self.numbers.weight)
        with torch.no_grad():
            self.numbers.bias.copy_(torch.tensor(start).repeat(maps))

    def forward(self, features: Tensor) -> Tensor:
        chance = _over_locations(self.landmarks(features))
        found = [*_moments(chance.sum(-2)), *_moments(chance.sum(-1))]
        return self.numbers(torch.cat(found, dim=1)).float().unflatten(-1, (self.maps, -1))


def gaussian_bank(first: Tensor, spacing: Tensor, sigma: Tensor, filters: int, size: int) -> Tensor:
    """Rows of Gaussians at ``first + i * spacing``, each summing to 1: (...) numbers -> (..., filters, size).

    A softmax of the exponents is the same as dividing by the sum, also where that would underflow.
    """
    index = torch.arange(filters, device=first.device, dtype=first.dtype)
    centres = first.unsqueeze(-1) + index * spacing.unsqueeze(-1)
    away = (positions(size, first) - centres.unsqueeze(-1)) / sigma[..., None, None]
    return torch.softmax(-0.5 * away**2, dim=-1)


def affine_sample(maps: Tensor, theta: Tensor) -> Tensor:
    """Read (B, M, h, w) maps where an affine map sends each location, bilinearly, with 0 outside.

    ``theta`` (B, M, 6) is a, b, c, d, e, f: location (x, y) of the result is read at (a x + b y + c, d x + e y + f).
    """
    batch, count, height, width = maps.shape
    x, y = positions(width, maps), positions(height, maps).unsqueeze(-1)
    a, b, c, d, e, f = theta.reshape(batch * count, 6, 1, 1).unbind(1)
    grid = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    read = F.grid_sample(maps.reshape(batch * count, 1, height, width), grid, padding_mode="zeros", align_corners=False)
    return read.reshape(batch, count, height, width)


def positions(size: int, like: Tensor) -> Tensor:
    """(size,) centres of the pixels along an axis, between -1 and 1."""
    return (2 * torch.arange(size, device=like.device, dtype=like.dtype) + 1) / size - 1


def spread_out(chance: Tensor, mean_one: bool) -> Tensor:
    """Maps (B, M, h, w) whose sum is 1; with ``mean_one`` times h w, so that an even map leaves features as they are.

    Without it a map of 64x48 shrinks them 3072-fold, and in a sum over levels the coarsest one is all there is.
    """
    return chance * (chance.shape[-2] * chance.shape[-1]) if mean_one else chance


def _over_locations(scores: Tensor) -> Tensor:
    """Softmax over h and w, in float32: bf16 sums of thousands of small numbers would not be 1."""
    return torch.softmax(scores.float().flatten(2), dim=-1).unflatten(-1, scores.shape[-2:])


def _moments(along: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of distributions along an axis: (B, L, n) -> 2 x (B, L)."""
    place = positions(along.shape[-1], along)
    mean = (along * place).sum(-1)
    variance = (along * (place - mean.unsqueeze(-1)) ** 2).sum(-1)
    return mean, torch.sqrt(variance + 1e-6)  # the root has no slope at 0


ATTENTION: dict[str, Callable[..., nn.Module]] = {
    "crf": CrfAttention,
    "gaussian": GaussianAttention,
    "softmax": SoftmaxAttention,
    "stn": TransformerAttention,
}
"""Kind -> brick, called with channels, the number of maps, and the options of its kind."""
