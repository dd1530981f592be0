"""`PosePrior`: plausible poses without any data, from a small distribution that this project fitted and ships.

A mixture of Gaussians (full covariances, fitted by expectation and maximisation) over the first principal components
of joint rotations relative to their parents, as axis times angle, left and right mirrored copies alike. What turns the
person about the vertical is left out: cameras and people turn anyway. Drawn values are kept within what was seen.
`tools/fit_pose_prior.py` fits it; the file says from what.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...formats.writing import atomic_path
from . import rotations as rot
from .poses import AT, POSED

PATH = Path(__file__).with_name("pose_prior.npz")

JOINTS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    # joint that moves: (the one it moves against, bones that turn with it)
    "root": (None, ("root", "spine05", "pelvis.L", "pelvis.R")),
    "spine03": ("root", ("spine04", "spine03")),
    "spine01": ("spine03", ("spine02", "spine01")),
    "neck02": ("spine01", ("neck01", "neck02")),
    "head": ("neck02", ("neck03", "head")),
}
for _side in "LR":
    JOINTS |= {
        f"clavicle.{_side}": ("spine01", (f"clavicle.{_side}", f"shoulder01.{_side}")),
        f"upperarm01.{_side}": (f"clavicle.{_side}", (f"upperarm01.{_side}", f"upperarm02.{_side}")),
        f"lowerarm01.{_side}": (f"upperarm01.{_side}", (f"lowerarm01.{_side}", f"lowerarm02.{_side}")),
        f"wrist.{_side}": (f"lowerarm01.{_side}", (f"wrist.{_side}",)),
        f"upperleg01.{_side}": ("root", (f"upperleg01.{_side}", f"upperleg02.{_side}")),
        f"lowerleg01.{_side}": (f"upperleg01.{_side}", (f"lowerleg01.{_side}", f"lowerleg02.{_side}")),
        f"foot.{_side}": (f"lowerleg01.{_side}", (f"foot.{_side}",)),
    }
SIZE = 3 * len(JOINTS)


def to_features(rotations: np.ndarray) -> np.ndarray:
    """(N, SIZE) rotation vectors of `JOINTS` against their parents, of poses (N, 36, 3, 3); headings are taken out."""
    rotations = np.asarray(rotations, np.float64)
    root = rotations[:, AT["root"]]
    # What is left of the root's turn when the heading (where its x axis points, seen from above) is undone.
    heading = np.arctan2(-root[:, 2, 0], root[:, 0, 0])
    level = rot.from_vector(np.stack([0 * heading, -heading, 0 * heading], axis=-1))
    parts = []
    for joint, (parent, _) in JOINTS.items():
        own = rotations[:, AT[joint]]
        local = level @ own if parent is None else np.swapaxes(rotations[:, AT[parent]], 1, 2) @ own
        parts.append(rot.to_vector(local))
    return np.concatenate(parts, axis=1)


def from_features(features: np.ndarray) -> np.ndarray:
    """(N, 36, 3, 3) poses that face +z, of (N, SIZE): the inverse of `to_features`, but for the heading."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != SIZE:
        raise ShapeError(f"expected features (N, {SIZE}), got {features.shape}")
    out = np.empty((len(features), len(POSED), 3, 3))
    turned: dict[str, np.ndarray] = {}
    for i, (joint, (parent, bones)) in enumerate(JOINTS.items()):
        local = rot.from_vector(features[:, 3 * i : 3 * i + 3])
        turned[joint] = local if parent is None else turned[parent] @ local
        for bone in bones:
            out[:, AT[bone]] = turned[joint]
    return out


@dataclass(frozen=True, eq=False)
class PosePrior:
    """The fitted distribution.

    Attributes
    ----------
    mean : (SIZE,); ``basis`` (D, SIZE) principal directions.
    weight : (M,) of the components; ``centre`` (M, D); ``factor`` (M, D, D) lower triangular roots of covariances.
    low, high : (SIZE,) what is allowed of each feature.
    provenance : JSON of what it was fitted to.
    """

    mean: np.ndarray
    basis: np.ndarray
    weight: np.ndarray
    centre: np.ndarray
    factor: np.ndarray
    low: np.ndarray
    high: np.ndarray
    provenance: str = "{}"

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, 36, 3, 3) float64 poses that face +z."""
        edges = np.cumsum(self.weight, dtype=np.float64)
        which = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
        noise = rng.standard_normal((count, self.centre.shape[1]))
        latent = self.centre[which] + np.einsum("nij,nj->ni", self.factor[which].astype(np.float64), noise)
        return from_features(np.clip(self.mean + latent @ self.basis, self.low, self.high))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """One pose, and ``"prior"``: a source of poses for `people.Assets`."""
        return self.sample(rng, 1)[0], "prior"

    def save(self, path: str | os.PathLike = PATH) -> Path:
        """Write as float16 (factors and basis lose a thousandth)."""
        arrays: dict[str, Any] = {}
        for f in fields(self):
            array = np.asarray(getattr(self, f.name))
            arrays[f.name] = array.astype(np.float16) if array.dtype.kind == "f" else array
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        return Path(path)


def fit(
    features: np.ndarray, rng: np.random.Generator, *, components: int = 24, keep: int = 24, rounds: int = 40
) -> PosePrior:
    """Fit a prior to features (N, SIZE) by expectation and maximisation from random poses.

    ``keep`` principal components of the features are modelled, by ``components`` Gaussians. Raises `ShapeError` for
    too few poses.
    """
    features = np.asarray(features, np.float64)
    if len(features) < 10 * components or features.shape[1:] != (SIZE,):
        raise ShapeError(f"expected at least {10 * components} poses of {SIZE} features, got {features.shape}")
    mean = features.mean(axis=0)
    _, scale, basis = np.linalg.svd(features - mean, full_matrices=False)
    basis, spread = basis[:keep], scale[:keep] / np.sqrt(len(features))
    latent = (features - mean) @ basis.T
    floor = np.diag((0.05 * spread) ** 2 + 1e-6)
    centre = latent[rng.choice(len(latent), components, replace=False)]
    covariance = np.repeat(np.diag(spread**2)[None] / 4, components, axis=0)
    weight = np.full(components, 1 / components)
    for _ in range(rounds):
        share = _responsibilities(latent, weight, centre, covariance)
        mass = share.sum(axis=0) + 1e-9
        weight = mass / mass.sum()
        centre = (share.T @ latent) / mass[:, None]
        for k in range(components):
            off = latent - centre[k]
            covariance[k] = (off * share[:, k : k + 1]).T @ off / mass[k] + floor
    low, high = np.quantile(features, (0.001, 0.999), axis=0)
    return PosePrior(mean, basis, weight, centre, np.linalg.cholesky(covariance), low, high)


def _responsibilities(latent: np.ndarray, weight: np.ndarray, centre: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(N, M) share of each component in each point."""
    logs = np.empty((len(latent), len(weight)))
    for k in range(len(weight)):
        root = np.linalg.cholesky(covariance[k])
        away = np.linalg.solve(root, (latent - centre[k]).T)
        logs[:, k] = np.log(weight[k]) - 0.5 * (away**2).sum(axis=0) - np.log(np.diag(root)).sum()
    logs -= logs.max(axis=1, keepdims=True)
    share = np.exp(logs)
    return share / share.sum(axis=1, keepdims=True)


@lru_cache(maxsize=2)
def load_prior(path: Path = PATH) -> PosePrior:
    """The shipped prior, or another file of `PosePrior.save`; `FormatError` where it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {f.name: file[f.name] for f in fields(PosePrior)}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(path, f"is not a pose prior ({error})") from error
    provenance = str(arrays.pop("provenance"))
    json.loads(provenance)
    return PosePrior(**{name: array.astype(np.float64) for name, array in arrays.items()}, provenance=provenance)
