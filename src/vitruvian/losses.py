"""Losses between a network's arrays and a codec's targets; joints of weight 0 never count.

Adding a loss: write the function, add it to `LOSSES`, and give it a closed-form test.
Needs torch.
"""

from __future__ import annotations

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
    "heatmap_mse": heatmap_mse,
    "simcc_cross_entropy": simcc_cross_entropy,
}
