"""What discriminators and generator want from each other in adversarial pose estimation: the modes, by name.

A discriminator gives for every joint the probability D in [0, 1] that its map is one of a true pose. Real maps have the
label 1. The label p of a generated map says whether the joint was found: right 1, wrong 0, and joints that are not
labelled do not count at all.

Sources: Chen et al., ICCV 2017, "Adversarial PoseNet" (arXiv 1705.00389v2, equations 2 to 4); Chou et al., APSIPA 2018,
"Self Adversarial Training for Human Pose Estimation", and Berthelot et al., arXiv 1703.10717, section 3.3, for the
boundary equilibrium. ``cooperative`` is what the code at
github.com/YUNSUCHO/Localizing-human-pose-in-adversarial-way-with-MPII-dataset does.

``sane``
    A discriminator minimises BCE(D(real), 1) + BCE(D(fake), p); the generator adds BCE(D(fake), 1): every joint is to
    look right.
``paper``
    Equation 2 as printed: -log D(real) - log(1 - (D(fake) - p)), and log(1 - (D(fake) - p)) for the generator.
``paper_abs``
    With an absolute value: -log D(real) - log(1 - abs(D(fake) - p)), and log(1 - abs(D(fake) - p)).
``cooperative``
    The discriminator as in ``paper_abs``; the generator adds -log(1 - abs(D(fake) - p)), the discriminator's own aim.
``began``
    An autoencoder of maps minimises L_real - k L_fake, with k as `equilibrium` says; the generator adds L_fake.

For binary p, -log(1 - abs(D - p)) is the binary cross-entropy BCE(D, p): in all modes but the second and the last the
discriminator learns to predict where the generator is right. In ``paper_abs`` the generator then pushes D *away* from
p, also for joints that are right; in ``cooperative`` it helps. Only ``sane`` and ``paper`` always ask it to look right.
Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import ShapeError

MODES = ("sane", "paper", "paper_abs", "cooperative")
"""Modes with discriminators that judge joints; ``began``, the fifth, has one that rebuilds maps."""

_EPS = 1e-6


def discriminator_loss(mode: str, real: Tensor, fake: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """What a discriminator minimises; a mean over joints that count.

    Parameters
    ----------
    mode : one of `MODES`.
    real, fake : (B, K) logits for true and for generated maps.
    right : (B, K) p: 1 where the generator found the joint, else 0.
    weights : (B, K) 1 for joints that count, else 0.

    Raises
    ------
    ShapeError
        An unknown mode, or shapes that differ.
    """
    _check(mode, real, fake, right, weights)
    as_real = F.binary_cross_entropy_with_logits(real.float(), torch.ones_like(real.float()), reduction="none")
    return _mean(as_real + _fake_term(mode, fake, right), weights)


def generator_loss(mode: str, fake: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """What the generator minimises beside its supervised loss; parameters and errors as in `discriminator_loss`."""
    _check(mode, fake, right, weights)
    if mode == "sane":
        wanted = torch.ones_like(fake.float())
        return _mean(F.binary_cross_entropy_with_logits(fake.float(), wanted, reduction="none"), weights)
    sign = 1.0 if mode == "cooperative" else -1.0
    return _mean(sign * _fake_term(mode, fake, right), weights)


def _fake_term(mode: str, fake: Tensor, right: Tensor) -> Tensor:
    """(B, K) the discriminator's loss for generated maps."""
    if mode == "paper":
        # 1 - (D - p) is 1 - D for wrong joints and 2 - D for right ones: positive but for rounding.
        return -torch.log(torch.clamp(1 - (fake.float().sigmoid() - right), min=_EPS))
    # BCE(|D - p|, 0) = BCE(D, p) for binary p, and from logits it loses no digits.
    return F.binary_cross_entropy_with_logits(fake.float(), right.float(), reduction="none")


def right_by_distance(
    found_px: Tensor, truth_px: Tensor, length_px: Tensor, weights: Tensor, within: float
) -> tuple[Tensor, Tensor]:
    """Labels of the pose discriminator: a joint is right within ``within`` lengths of its person.

    Parameters
    ----------
    found_px, truth_px : (B, K, 2), positions in the same pixels.
    length_px : (B,) head or torso; NaN where it cannot be measured: no joint of that person counts then.
    weights : (B, K) which joints count.

    Returns
    -------
    (B, K) labels, and (B, K) weights without the people that have no length.
    """
    distance = torch.linalg.vector_norm(found_px.float() - torch.nan_to_num(truth_px.float()), dim=-1)
    known = torch.isfinite(length_px) & (length_px > 0)
    right = distance <= within * torch.where(known, length_px, torch.ones_like(length_px))[:, None]
    return right.float(), weights * known[:, None].float()


def right_by_maps(found: Tensor, truth: Tensor, map_error: float) -> Tensor:
    """(B, K) labels of the confidence discriminator, from (B, K, h, w) maps: 1 where the squared error is at most
    ``map_error`` of the target map's own energy. An empty map has energy 1 here, so that its error still counts."""
    error = ((found.float() - truth.float()) ** 2).sum(dim=(-2, -1))
    energy = (truth.float() ** 2).sum(dim=(-2, -1))
    return (error <= map_error * torch.where(energy > 0, energy, torch.ones_like(energy))).float()


def reconstruction(rebuilt: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error between (B, K, h, w) maps and what an autoencoder makes of them, over joints that count."""
    return _mean(((rebuilt.float() - maps.float()) ** 2).mean(dim=(-2, -1)), weights)


def equilibrium(k: Tensor, real: Tensor, fake: Tensor, gamma: float, lambda_k: float) -> Tensor:
    """The next k of the boundary equilibrium: k + lambda_k (gamma L_real - L_fake), kept within [0, 1]."""
    return torch.clamp(k + lambda_k * (gamma * real.detach() - fake.detach()), 0.0, 1.0)


def _check(mode: str, *tensors: Tensor) -> None:
    if mode not in MODES:
        raise ShapeError(f"unknown adversarial mode '{mode}'; known: {', '.join(MODES)}")
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) != 1 or tensors[0].ndim != 2:
        raise ShapeError(f"expected (B, K) tensors of one shape, got {[tuple(t.shape) for t in tensors]}")


def _mean(per_joint: Tensor, weights: Tensor) -> Tensor:
    return (per_joint * weights).sum() / torch.clamp(weights.sum(), min=1e-6)
