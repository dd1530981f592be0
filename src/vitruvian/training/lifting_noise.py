"""Errors of a 2D model, as measured on people it was not trained on, to train lifters with.

A `NoiseModel` says for each of the 14 joints a lifter takes, and each third of its scores: how often the position is
near (a Gaussian), far off (a wider Gaussian), or that of the other side's joint. Distances are in the unit of a
lifter's input, the root-mean-square distance of the joints from their mean. ``noise2d.json`` holds the one measured of
the shipped model by ``tools/measure_noise2d.py``; it includes the errors of the labels themselves.

People whose left and right were exchanged as a whole are counted (``mirrored``) but not imitated: such a person looks
like another who faces the other way, and what cannot be seen cannot be learned.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..formats.writing import write_text
from ..transforms.lifting import INPUT_JOINTS, LEAST_JOINTS

MEASURED = Path(__file__).with_name("noise2d.json")
"""The measured noise that comes with the package."""

_FLIP = INPUT_JOINTS.flip
_SIDED = np.arange(len(_FLIP)) != _FLIP


@dataclass(frozen=True)
class Band:
    """Scores between ``low`` and ``high`` of one joint, and the errors seen there.

    ``near`` and ``far`` are standard deviations along an axis, ``far_share`` how much of what is not swapped is far,
    ``swap_share`` how often the joint sits on the other side's; ``count`` how many were measured.
    """

    low: float
    high: float
    near: float
    far: float
    far_share: float
    swap_share: float
    count: int


@dataclass(frozen=True)
class NoiseModel:
    """``bands``: a list for each joint of `INPUT_JOINTS`, all of the same probability. ``mirrored``: share of people
    exchanged as a whole. ``source``: how it was measured.
    """

    bands: dict[str, tuple[Band, ...]]
    mirrored: float = 0.0
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.bands) != INPUT_JOINTS.joints or len({len(b) for b in self.bands.values()}) != 1:
            raise ShapeError(f"a noise model needs as many bands for each of {', '.join(INPUT_JOINTS.joints)} in turn")

    def apply(
        self, rng: np.random.Generator, joints: np.ndarray, strength: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Noisy positions (N, 14, 2) and scores (N, 14) for exact ones (N, 14, 2).

        ``strength`` (N,) in [0, 1] scales the near errors and the shares of the others.
        """
        count, each = len(joints), len(next(iter(self.bands.values())))
        table = np.array([[list(asdict(b).values())[:6] for b in self.bands[j]] for j in INPUT_JOINTS.joints])
        low, high, near, far, far_share, swap_share = np.moveaxis(
            table[np.arange(len(table)), rng.integers(each, size=(count, len(table)))], -1, 0
        )
        strength = np.broadcast_to(np.asarray(strength, np.float64), (count,))[:, None]
        scores = low + (high - low) * rng.random((count, len(table)))
        swapped = (rng.random((count, len(table))) < swap_share * strength) & _SIDED
        wide = rng.random((count, len(table))) < far_share * strength
        spread = np.where(wide, far, near * strength)
        offset = joints - joints.mean(1, keepdims=True)
        size = np.sqrt((offset**2).sum((1, 2)) / offset.shape[1])[:, None, None]
        moved = np.where(swapped[..., None], joints[:, _FLIP], joints)
        return moved + rng.normal(size=joints.shape) * spread[..., None] * size, scores

    def save(self, path: str | Path) -> Path:
        """Write JSON; `load` reads it."""
        bands = {j: [{k: round(v, 4) for k, v in asdict(b).items()} for b in bs] for j, bs in self.bands.items()}
        record = {"source": self.source, "mirrored": round(self.mirrored, 4), "bands": bands}
        return write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path = MEASURED) -> NoiseModel:
        """Read `save`'s JSON, the measured one by default; `ShapeError` where it is none."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            bands = {joint: tuple(Band(**band) for band in given) for joint, given in data["bands"].items()}
            return cls(bands, float(data["mirrored"]), data["source"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShapeError(f"{path} holds no noise model: {error}") from error


def fit_noise(
    truth: np.ndarray, found: np.ndarray, scores: np.ndarray, *, bands: int = 3, source: dict[str, Any] | None = None
) -> NoiseModel:
    """The noise between true (N, 14, 2) and found joints with their scores (N, 14); NaN where the truth has no label.

    A person is mirrored if exchanging left and right halves the mean error over the limbs. A joint is swapped if it is
    nearer to the other side's true position than to its own, and within a quarter of the person's size of it.
    """
    labelled = np.asarray(np.isfinite(truth).all(2))
    enough = labelled.sum(1) >= LEAST_JOINTS
    truth, found, scores, labelled = truth[enough], found[enough], scores[enough], labelled[enough]
    centre = np.nanmean(truth, axis=1, keepdims=True)
    size = np.sqrt(np.nansum((truth - centre) ** 2, axis=(1, 2)) / labelled.sum(1))
    own = np.linalg.norm(found - truth, axis=2) / size[:, None]
    other = np.linalg.norm(found - truth[:, _FLIP], axis=2) / size[:, None]
    limbs = labelled & labelled[:, _FLIP] & _SIDED
    mean = lambda errors: np.where(limbs, errors, 0).sum(1) / np.maximum(limbs.sum(1), 1)  # noqa: E731
    mirrored = (limbs.sum(1) >= LEAST_JOINTS) & (mean(other) < mean(own) / 2)
    own, other, labelled, scores = own[~mirrored], other[~mirrored], labelled[~mirrored], scores[~mirrored]
    swapped = (other < own) & (other < 0.25) & (own > 0.25) & _SIDED
    fitted = {}
    for k, joint in enumerate(INPUT_JOINTS.joints):
        edges = np.quantile(scores[labelled[:, k], k], np.linspace(0, 1, bands + 1))
        fitted[joint] = tuple(
            _band(own[:, k], swapped[:, k], labelled[:, k], scores[:, k], low, high, last=i == bands - 1)
            for i, (low, high) in enumerate(pairwise(edges))
        )
    return NoiseModel(fitted, float(mirrored.mean()), dict(source or {}))


def _band(
    errors: np.ndarray,
    swapped: np.ndarray,
    labelled: np.ndarray,
    scores: np.ndarray,
    low: float,
    high: float,
    last: bool,
) -> Band:
    here = labelled & (scores >= low) & ((scores <= high) if last else (scores < high))
    near, far, far_share = two_spreads(errors[here & ~swapped])
    share = float(swapped[here].mean()) if here.any() else 0.0
    return Band(float(low), float(high), near, far, far_share, share, int(here.sum()))


def two_spreads(errors: Sequence[float] | np.ndarray, steps: int = 100) -> tuple[float, float, float]:
    """Distances as a mixture of two Gaussians in the plane, by expectation-maximisation (Dempster et al., 1977): the
    standard deviations along an axis of the near and the far part, and the far one's share.
    """
    squares = np.maximum(np.asarray(errors, np.float64) ** 2, 1e-12)
    if not len(squares):
        return 0.0, 0.0, 0.0
    near, far, share = np.median(squares) / (2 * np.log(2)), max(float(squares.mean()), 1e-12) * 2, 0.2
    for _ in range(steps):
        # A distance r of deviation s along an axis has the density r / s^2 exp(-r^2 / 2 s^2).
        inner = np.log(1 - share + 1e-12) - np.log(near) - squares / (2 * near)
        outer = np.log(share + 1e-12) - np.log(far) - squares / (2 * far)
        belongs = 1 / (1 + np.exp(np.clip(inner - outer, -50, 50)))
        share = float(belongs.mean())
        near = max(float(((1 - belongs) * squares).sum() / max((1 - belongs).sum(), 1e-9)) / 2, 1e-9)
        far = max(float((belongs * squares).sum() / max(belongs.sum(), 1e-9)) / 2, 1e-9)
    return float(np.sqrt(near)), float(np.sqrt(far)), share
