"""Losses between a network's arrays and a codec's targets; joints of weight 0 never count.

Adding a loss: write the function, add it to `LOSSES`, and give it a closed-form test.
Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import ShapeError
from .types import Targets

Arrays = dict[str, Tensor]


def heatmap_mse(arrays: Arrays, targets: Targets, peak_weight: float = 0.0) -> Tensor:
    """Mean over labelled joints of the mean squared error over pixels.

    ``peak_weight`` w weighs every pixel by 1 + w * target, against the emptiness of heatmaps; 0 is the plain error of
    Xiao et al., ECCV 2018.
    """
    found, truth = _pair(arrays, targets, "heatmaps")
    error = (found.float() - truth) ** 2
    if peak_weight:
        error = error * (1 + peak_weight * truth)
    return _joint_mean(error.mean(dim=(-2, -1)), targets.weights)


def heatmap_weighted_mse(
    arrays: Arrays, targets: Targets, weight: float = 81.0, floor: float = math.exp(-4.5)
) -> Tensor:
    """Mean over labelled joints of the squared error in which a joint's own pixels weigh 1 + ``weight``, others 1.

    The foreground is where the target exceeds ``floor``; by default that is nearer than 3 sigma to the joint. System 3
    (robertklee/COCO-Human-Pose, loss.py, after an article of Ethan Yanjia Li) takes ``target > 0`` of Gaussians that
    were cut to a square of 3 sigma; ours are never cut, so 0 would make all of the map foreground.
    """
    found, truth = _pair(arrays, targets, "heatmaps")
    error = (found.float() - truth) ** 2 * (1 + weight * (truth > floor))
    return _joint_mean(error.mean(dim=(-2, -1)), targets.weights)


def heatmap_euclidean(arrays: Arrays, targets: Targets) -> Tensor:
    """The square root of one sum of squares, over all pixels of all labelled joints of the batch.

    As system 3's code has it: a sum without an axis, so the whole batch is one vector, and the loss grows with the
    root of the batch's size. Its gradient has length 1 however small the error; at no error it is 0.
    """
    found, truth = _pair(arrays, targets, "heatmaps")
    return torch.linalg.vector_norm((found.float() - truth) * targets.weights.sqrt()[..., None, None])


def heatmap_focal(arrays: Arrays, targets: Targets, alpha: float = 2.0, beta: float = 4.0, eps: float = 1e-5) -> Tensor:
    """Penalty-reduced focal loss (Law and Deng, ECCV 2018, equation 1; Zhou et al., "Objects as Points", equation 1).

    A joint's peak pixel costs ``-(1 - p)**alpha log p``, every other pixel
    ``-(1 - target)**beta p**alpha log(1 - p)``; the sum over labelled joints is divided by the number of peak pixels.
    Ours is the pixel where a map's target is largest, since Gaussians at sub-pixel positions are never exactly 1. A
    map that is to be empty has none; without any peak in the batch the sum is not divided.

    The network has to give probabilities (a sigmoid head): what lies beyond ``eps`` ... 1 - ``eps`` is cut to that, and
    gets no gradient.
    """
    found, truth = _pair(arrays, targets, "heatmaps")
    chance, truth = found.float().clamp(eps, 1 - eps).flatten(2), truth.flatten(2)
    height, index = truth.max(dim=-1, keepdim=True)
    peak = torch.zeros_like(truth, dtype=torch.bool).scatter_(2, index, height > 0)
    at_peak = -((1 - chance) ** alpha) * torch.log(chance)
    elsewhere = -((1 - truth) ** beta) * chance**alpha * torch.log(1 - chance)
    per_joint = torch.where(peak, at_peak, elsewhere).sum(-1)
    peaks = (peak.any(-1) * targets.weights).sum()
    return (per_joint * targets.weights).sum() / torch.clamp(peaks, min=1)


def heatmap_cross_entropy(arrays: Arrays, targets: Targets) -> Tensor:
    """Mean over labelled joints of the cross-entropy between a map's softmax and a target that sums to 1."""
    found, truth = _pair(arrays, targets, "heatmaps")
    return _joint_mean(_cross_entropy(found.flatten(2), truth.flatten(2)), targets.weights)


def simcc_cross_entropy(arrays: Arrays, targets: Targets) -> Tensor:
    """Mean over labelled joints of the two axes' cross-entropies (Li et al., ECCV 2022, section 3.2)."""
    per_joint = sum(_cross_entropy(*_pair(arrays, targets, name)) for name in ("simcc_x", "simcc_y"))
    return _joint_mean(per_joint, targets.weights)  # type: ignore[arg-type]


def _pair(arrays: Arrays, targets: Targets, name: str) -> tuple[Tensor, Tensor]:
    """What was found and what is true; torch would stretch one to the other where a size is 1."""
    found, truth = arrays[name], targets.arrays[name]
    if found.shape != truth.shape:
        raise ShapeError(
            f"'{name}': the network gives {tuple(found.shape)}, the codec's targets are {tuple(truth.shape)}"
        )
    return found, truth


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(B, K, bins) -> (B, K), in float32 since bf16 log-softmax over thousands of bins is too coarse."""
    return -(target * F.log_softmax(logits.float(), dim=-1)).sum(-1)


def _joint_mean(per_joint: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of (B, K); 0 with a gradient of 0 when no joint is labelled."""
    return (per_joint * weights).sum() / torch.clamp(weights.sum(), min=1e-6)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "heatmap_cross_entropy": heatmap_cross_entropy,
    "heatmap_euclidean": heatmap_euclidean,
    "heatmap_focal": heatmap_focal,
    "heatmap_mse": heatmap_mse,
    "heatmap_weighted_mse": heatmap_weighted_mse,
    "simcc_cross_entropy": simcc_cross_entropy,
}
