"""Losses between a network's arrays and a codec's targets; joints of weight 0 never count.

`pixels` and its parts are of whole pictures instead: there a joint without a label is background, and a picture without
any joint, or without a mask, teaches those heads nothing.

The last three, of 3D poses and the grid task that prepares for them, take plain tensors and are not in `LOSSES`: their
targets are no codec's of the table.

Adding a loss: write the function, add it to `LOSSES`, and give it a closed-form test.
Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .codecs.heatmap import PRESENCE
from .detection import boxes_aligned
from .errors import ShapeError
from .types import Targets

Arrays = dict[str, Tensor]


def heatmap_mse(
    arrays: Arrays, targets: Targets, peak_weight: float = 0.0, rival_weight: float = 0.0, presence: float = 0.0
) -> Tensor:
    """Mean over labelled joints of the mean squared error over pixels.

    ``peak_weight`` w weighs every pixel by 1 + w * target, against the emptiness of heatmaps; 0 is the plain error of
    Xiao et al., ECCV 2018. Alone it also flattens chances: where a joint is with chance p, the best map has not p but
    (1 + w) p / (1 + w p), 0.95 for an even choice between a left and a right knee and w = 20. ``rival_weight`` adds as
    much where the person's other joints are, there the map has to be empty; as large as w it gives p back.
    ``presence`` weighs `presence_cross_entropy`, for codecs with that array.
    """
    found, truth = _pair(arrays, targets, "heatmaps")
    error = (found.float() - truth) ** 2
    if peak_weight or rival_weight:
        rivals = truth.amax(dim=1, keepdim=True) - truth
        error = error * (1 + peak_weight * truth + rival_weight * rivals)
    loss = _joint_mean(error.mean(dim=(-2, -1)), targets.weights)
    return loss + presence * presence_cross_entropy(arrays, targets) if presence else loss


def presence_cross_entropy(arrays: Arrays, targets: Targets) -> Tensor:
    """Binary cross-entropy of the logits of being in the picture, mean over joints of which that is known."""
    found, truth = _pair(arrays, targets, PRESENCE)
    each = F.binary_cross_entropy_with_logits(found.float(), truth.clamp(min=0), reduction="none")
    return _joint_mean(each, (truth >= 0).float())


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


def grid_cross_entropy(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of system 4's grid task, summed over joints and cells; the mean over the batch.

    (B, K, rows, columns) logits and 0/1 targets, (B, K) weights. A sum, as in the system: with 17 joints and 100 cells
    one that knows nothing starts at 1700 log 2.
    """
    _same("grid", logits, truth)
    each = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").sum(dim=(-2, -1))
    return (each * weights).sum() / max(len(logits), 1)


def pose_mpjpe(found_mm: Tensor, truth_mm: Tensor, weights: Tensor) -> Tensor:
    """Mean distance in mm over labelled joints, of (B, K, 3) positions; (B, K) weights.

    What is not labelled may be NaN. Where a joint is met exactly the gradient is 0.
    """
    return _joint_mean(torch.linalg.vector_norm(_offsets(found_mm, truth_mm, weights), dim=-1), weights)


def pose_squared(found_mm: Tensor, truth_mm: Tensor, weights: Tensor) -> Tensor:
    """Squared error summed over joints and axes, the mean over the batch; the rest as in `pose_mpjpe`."""
    squares = (_offsets(found_mm, truth_mm, weights) ** 2).sum(-1)
    return (squares * weights).sum() / max(len(squares), 1)


def _offsets(found_mm: Tensor, truth_mm: Tensor, weights: Tensor) -> Tensor:
    """Found minus true, 0 where not labelled: by selection, since NaN times a weight of 0 would stay NaN."""
    _same("pose_mm", found_mm, truth_mm)
    zero = torch.zeros((), device=found_mm.device)
    return torch.where(weights[..., None] > 0, found_mm.float() - truth_mm, zero)


def pixels(
    arrays: Arrays,
    targets: Targets,
    mask: float = 1.0,
    heat: float = 1.0,
    classes: float = 1.0,
    mask_entropy: float = 0.0,
) -> Tensor:
    """`pixels_dice`, `pixels_mse` and `pixels_cross_entropy` of the heads that the network has, weighed and added.

    All weights are 1 in system 0, where the squared error, of maps up to 100, outweighs the others; ``mask_entropy``,
    which it does not have, weighs `pixels_mask_cross_entropy`. A head of weight 0 gets no gradient, and may lack a
    target.
    """
    parts = (
        ("mask", mask, pixels_dice),
        ("mask", mask_entropy, pixels_mask_cross_entropy),
        ("heat", heat, pixels_mse),
        ("classes", classes, pixels_cross_entropy),
    )
    found = [weight * loss(arrays, targets) for name, weight, loss in parts if name in arrays and weight]
    if not found:
        raise ShapeError(
            f"none of mask, heat, classes is both among the network's arrays {sorted(arrays)} and of weight > 0"
        )
    return torch.stack(found).sum()


def pixels_dice(arrays: Arrays, targets: Targets, eps: float = 1e-6) -> Tensor:
    """Mean over images of 1 - (2 sum(t p) + eps) / (sum(t) + sum(p) + eps), p being the softmax's person channel.

    Images without a mask (see `PixelsCodec.add_mask`) are left out; 0 when none has one. Source: Milletari et al., 3DV
    2016, without the squares, and of the foreground alone, as in system 0.
    """
    found, truth = _pair(arrays, targets, "mask")
    known = truth.sum((1, 2, 3)) > 0
    person, truth = found.float().softmax(1)[:, 1].flatten(1), truth[:, 1].flatten(1)
    common, both = (person * truth).sum(1), person.sum(1) + truth.sum(1)
    return _mean_of(1 - (2 * common + eps) / (both + eps), known)


def pixels_mask_cross_entropy(arrays: Arrays, targets: Targets) -> Tensor:
    """Mean over the pixels of images with a mask of the cross-entropy of background and person."""
    found, truth = _pair(arrays, targets, "mask")
    entropy = -(truth * F.log_softmax(found.float(), dim=1)).sum(1)
    return _mean_of(entropy.mean((1, 2)), truth.sum((1, 2, 3)) > 0)


def pixels_mse(arrays: Arrays, targets: Targets) -> Tensor:
    """Mean squared error over the pixels of ``"heat"``, of images with a joint."""
    found, truth = _pair(arrays, targets, "heat")
    return _mean_of(((found.float() - truth) ** 2).mean((1, 2, 3)), targets.weights.amax(1) > 0)


def pixels_cross_entropy(arrays: Arrays, targets: Targets) -> Tensor:
    """Mean over the pixels, of images with a joint, of the cross-entropy of their ``"classes"``.

    What a pixel's target lacks to 1 costs nothing.
    """
    found, truth = _pair(arrays, targets, "classes")
    entropy = -(truth * F.log_softmax(found.float(), dim=1)).sum(1)
    return _mean_of(entropy.mean((1, 2)), targets.weights.amax(1) > 0)


def _mean_of(each: Tensor, counted: Tensor) -> Tensor:
    """Mean of (B,) over the images that count (B,) bool; 0 with a gradient of 0 when none does."""
    return (each * counted).sum() / counted.sum().clamp(min=1)


def _pair(arrays: Arrays, targets: Targets, name: str) -> tuple[Tensor, Tensor]:
    """What was found and what is true; torch would stretch one to the other where a size is 1."""
    if name not in targets.arrays:
        hint = "; it comes by codec.add_mask" if name == "mask" else ""
        raise ShapeError(f"the targets have no '{name}', only {sorted(targets.arrays)}{hint}")
    found, truth = arrays[name], targets.arrays[name]
    _same(name, found, truth)
    return found, truth


def _same(name: str, found: Tensor, truth: Tensor) -> None:
    if found.shape != truth.shape:
        raise ShapeError(
            f"'{name}': the network gives {tuple(found.shape)}, the codec's targets are {tuple(truth.shape)}"
        )


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(B, K, bins) -> (B, K), in float32 since bf16 log-softmax over thousands of bins is too coarse."""
    return -(target * F.log_softmax(logits.float(), dim=-1)).sum(-1)


def _joint_mean(per_joint: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of (B, K); 0 with a gradient of 0 when no joint is labelled."""
    return (per_joint * weights).sum() / torch.clamp(weights.sum(), min=1e-6)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "boxes_aligned": boxes_aligned,
    "heatmap_cross_entropy": heatmap_cross_entropy,
    "heatmap_euclidean": heatmap_euclidean,
    "heatmap_focal": heatmap_focal,
    "heatmap_mse": heatmap_mse,
    "heatmap_weighted_mse": heatmap_weighted_mse,
    "pixels": pixels,
    "simcc_cross_entropy": simcc_cross_entropy,
}
