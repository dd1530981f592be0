"""Random geometry of a training crop, as one `Affine`: shift, scale, rotation and flip are multiplied, never resampled
one after the other. Half-body crops as in Wang et al. (HRNet), CVPR 2019, section 4.1."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import VitruvianError
from ..geometry import Affine, boxes
from ..skeletons import Skeleton

_KEPT_TOP, _KEPT_SIDE = (0.15, 0.85), (0.35, 0.85)
"""Shares of a box that a cut leaves: of its top (from a face to all but the feet), of another side."""
_BOTTOM_CUT = 0.6
"""Share of the cuts that take the legs away, as most photos of parts of people do."""
_UPPER = ("nose", "eye", "ear", "shoulder", "elbow", "wrist", "neck", "head_top", "thorax")


class Geometry(Protocol):
    """What a data set asks of a random geometry."""

    def pick_box(
        self, rng: np.random.Generator, box_xyxy: np.ndarray, keypoints_px: np.ndarray, skeleton: Skeleton
    ) -> np.ndarray:
        """(4,) the box to crop: the person's own, or one within it."""
        ...

    def cut(self, rng: np.random.Generator, box_xyxy: np.ndarray) -> np.ndarray | None:
        """(4,) xyxy: the part of the plane in which the photo stays; None where it is not cut."""
        ...

    def sample(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[Affine, bool]:
        """A map to apply *after* the plain crop (input -> input), and whether it mirrors."""
        ...


def check_amounts(transform: Any) -> None:
    """Refuse a transform (a dataclass of numbers) whose amounts cannot be; the `VitruvianError` names the field."""
    for name, amount in asdict(transform).items():
        most = 1.0 if name.endswith(("_prob", "_max")) else math.inf
        if not (0 <= amount <= most and math.isfinite(amount)):
            expected = "in 0..1" if most == 1 else "0 or more"
            raise VitruvianError(f"{type(transform).__name__}: '{name}' must be {expected}, got {amount}")


@dataclass(frozen=True)
class RandomGeometry:
    """How a person's crop may vary.

    Attributes
    ----------
    rotation_deg : rotation is drawn uniformly from +- this, about the crop's centre.
    rotation_prob : share of samples that are rotated.
    scale : the person's size is multiplied by a factor drawn log-uniformly from [1 / (1 + scale), 1 + scale].
    shift : the centre moves by up to this share of the crop's side, on each axis.
    flip_prob : share of samples that are mirrored.
    half_body_prob : share of samples cropped to the upper or lower body where enough joints are labelled.
    cut_prob : share of samples whose photo ends within the person, so that the crop shows a part of them, larger, and
        nothing beyond: mostly the upper part, down to the face alone.
    """

    rotation_deg: float = 40.0
    rotation_prob: float = 0.6
    scale: float = 0.3
    shift: float = 0.06
    flip_prob: float = 0.5
    half_body_prob: float = 0.0
    cut_prob: float = 0.0

    def __post_init__(self) -> None:
        check_amounts(self)

    def pick_box(
        self, rng: np.random.Generator, box_xyxy: np.ndarray, keypoints_px: np.ndarray, skeleton: Skeleton
    ) -> np.ndarray:
        """(4,) the person's box, or with ``half_body_prob`` the box of the upper or lower half's labelled joints."""
        if rng.random() >= self.half_body_prob:
            return box_xyxy
        upper = np.array([any(part in name for part in _UPPER) for name in skeleton.joints])
        labelled = np.isfinite(keypoints_px).all(axis=1)
        half = labelled & (upper if rng.random() < 0.5 else ~upper)
        if half.sum() < 4 or labelled.sum() < 9:
            return box_xyxy
        return boxes.around_points(keypoints_px[half], margin=0.25)

    def cut(self, rng: np.random.Generator, box_xyxy: np.ndarray) -> np.ndarray | None:
        """See `Geometry.cut`."""
        if not self.cut_prob or rng.random() >= self.cut_prob:
            return None
        stays = np.array([-np.inf, -np.inf, np.inf, np.inf])
        start, size = box_xyxy[:2], box_xyxy[2:] - box_xyxy[:2]
        if rng.random() < _BOTTOM_CUT:
            stays[3] = start[1] + size[1] * math.exp(rng.uniform(*np.log(_KEPT_TOP)))
            return stays
        edge, share = int(rng.integers(3)), rng.uniform(*_KEPT_SIDE)  # 0 left, 1 top, 2 right
        axis = edge % 2
        stays[edge] = start[axis] + size[axis] * (share if edge == 2 else 1 - share)
        return stays

    def sample(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[Affine, bool]:
        """See `Geometry.sample`."""
        width, height = size_wh
        centre = ((width - 1) / 2, (height - 1) / 2)
        factor = (1 + self.scale) ** rng.uniform(-1, 1)
        angle = rng.uniform(-self.rotation_deg, self.rotation_deg) if rng.random() < self.rotation_prob else 0.0
        dx, dy = rng.uniform(-self.shift, self.shift, 2) * np.array([width, height])
        change = Affine.translate(dx, dy) @ Affine.rotate(angle, centre) @ Affine.scale(factor, center_px=centre)
        flipped = bool(rng.random() < self.flip_prob)
        return (Affine.flip_horizontal(width) @ change if flipped else change), flipped
