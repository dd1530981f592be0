"""`Motion`: joints moving in space, as every reader of motion capture gives them, and the kinematics they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError, SkeletonError


@dataclass(frozen=True, eq=False)
class Motion:
    """One take.

    Attributes
    ----------
    joints : J names, as the file has them.
    parents : index of each joint's parent, which stands before it; -1 for a root.
    positions_mm : (F, J, 3) float64 in the axes of the file.
    fps : frames per second.
    name : of the take, for messages and tables.

    Raises
    ------
    ShapeError
        Arrays that do not belong together, a parent that does not stand before its joint, a rate not above 0.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    positions_mm: np.ndarray
    fps: float
    name: str = ""

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions_mm, np.float64)
        count = len(self.joints)
        if positions.ndim != 3 or positions.shape[1:] != (count, 3) or len(self.parents) != count:
            raise ShapeError(
                f"a motion of {count} joints needs positions (F, {count}, 3) and as many parents, got "
                f"{positions.shape} and {len(self.parents)}"
            )
        if len(set(self.joints)) != count or any(not -1 <= p < i for i, p in enumerate(self.parents)):
            raise ShapeError("a motion's joints need names of their own, each after its parent")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ShapeError(f"frames per second must be positive, got {self.fps}")
        object.__setattr__(self, "positions_mm", positions)

    def __len__(self) -> int:
        return len(self.positions_mm)

    def pick(self, joints: Sequence[str]) -> np.ndarray:
        """(F, K, 3) positions of the joints of those names, in mm; `SkeletonError` names one that is not there."""
        lacking = [name for name in joints if name not in self.joints]
        if lacking:
            raise SkeletonError(f"motion '{self.name}' has no joint '{lacking[0]}'; it has {', '.join(self.joints)}")
        return self.positions_mm[:, [self.joints.index(name) for name in joints]]


def axis_rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations about ``"x"``, ``"y"`` or ``"z"`` that turn column vectors counter-clockwise."""
    radians = np.deg2rad(np.asarray(degrees, np.float64))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    rotation = np.zeros((*radians.shape, 3, 3))
    rotation[..., range(3), range(3)] = 1
    rotation[..., first, first] = rotation[..., second, second] = np.cos(radians)
    rotation[..., second, first] = np.sin(radians)
    rotation[..., first, second] = -np.sin(radians)
    return rotation
