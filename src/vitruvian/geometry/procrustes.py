"""The similarity that brings one set of points closest to another, in the least squares sense (Procrustes analysis).

Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", TPAMI 1991,
equations 34 to 43: the rotation from a singular value decomposition, kept free of reflection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError


@dataclass(frozen=True, eq=False)
class Similarity:
    """Maps ``p -> scale * R p + t``, one for each of N point sets.

    Attributes
    ----------
    scale : (N,) float64, not negative.
    rotation : (N, D, D) float64, determinant +1.
    translation : (N, D) float64.
    """

    scale: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, K, D), set by set; NaN stays NaN."""
        turned = np.einsum("nij,nkj->nki", self.rotation, points)
        return self.scale[:, None, None] * turned + self.translation[:, None]


def fit_similarity(
    source: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, *, scaling: bool = True
) -> Similarity:
    """The similarity of each source set to its target set with the least sum of squared distances.

    Parameters
    ----------
    source, target : (N, K, D) points, D at least 2, in any one unit.
    valid : (N, K) bool, the pairs to use; None takes those that are finite in both.
    scaling : False keeps the scale at 1 (rotation and translation only).

    Returns
    -------
    A `Similarity`. Sets that leave the rotation open are no error: one of the best is given. Without any variance in
    the source (one point, say) the scale is 1, and without any valid pair nothing moves.

    Raises
    ------
    ShapeError
        Shapes that do not belong together, or a pair marked valid that is not finite.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim != 3 or source.shape != target.shape or source.shape[2] < 2:
        raise ShapeError(f"expected two arrays (N, K, D) of the same shape, got {source.shape} and {target.shape}")
    finite = np.asarray(np.isfinite(source).all(axis=2) & np.isfinite(target).all(axis=2))
    used = finite if valid is None else np.asarray(valid, bool)
    if used.shape != source.shape[:2]:
        raise ShapeError(f"expected valid {source.shape[:2]}, got {used.shape}")
    if (used & ~finite).any():
        raise ShapeError("a pair of points is marked valid but is not finite; mark it as not valid")
    weight = used / np.maximum(used.sum(axis=1, keepdims=True), 1)
    source_centre, source_offset = _centred(source, weight)
    target_centre, target_offset = _centred(target, weight)
    covariance = np.einsum("nk,nki,nkj->nij", weight, target_offset, source_offset)
    u, singular, vt = np.linalg.svd(covariance)
    # The last direction is mirrored where U V^T would be a reflection: it is the one in which that costs least.
    sign = np.ones_like(singular)
    sign[:, -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = np.einsum("nij,nj,njk->nik", u, sign, vt)
    variance = np.einsum("nk,nki->n", weight, source_offset**2)
    best = (singular * sign).sum(axis=1) / np.where(variance > 0, variance, 1.0)
    scale = np.where(variance > 0, np.maximum(best, 0.0), 1.0) if scaling else np.ones(len(source))
    translation = target_centre - scale[:, None] * np.einsum("nij,nj->ni", rotation, source_centre)
    return Similarity(scale, rotation, translation)


def align(
    source: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, *, scaling: bool = True
) -> np.ndarray:
    """(N, K, D) the source sets brought onto their targets by `fit_similarity`, with its parameters and errors."""
    return fit_similarity(source, target, valid, scaling=scaling).apply(np.asarray(source, np.float64))


def _centred(points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) weighted means, and (N, K, D) offsets from them, 0 where the weight is."""
    used = np.where(weight[..., None] > 0, points, 0.0)
    centre = np.einsum("nk,nkd->nd", weight, used)
    return centre, np.where(weight[..., None] > 0, used - centre[:, None], 0.0)
