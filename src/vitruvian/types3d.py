"""`Poses3D`: people in three dimensions, the one validated result of lifting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ShapeError
from .skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class Poses3D:
    """The people of one image, in 3D.

    Attributes
    ----------
    joints_mm : (N, K, 3) float32 millimetres relative to the root; NaN for a person of whom too little was seen.
    scores : (N, K) float32 in [0, 1]: those of the 2D joints that a 3D joint rests on.
    skeleton : names and edges of the K joints; joint 0 is the root.
    root, axes, scale : in sentences, what the numbers mean.
    translation_mm : (N, 3) float32, where the root is in the camera's axes, or None where no camera was known.
    path : the image's file, or None.
    ids : (N,) int64 identities over time, or None.

    Raises
    ------
    ShapeError
        Arrays that do not belong together.
    """

    joints_mm: np.ndarray
    scores: np.ndarray
    skeleton: Skeleton
    root: str
    axes: str
    scale: str
    translation_mm: np.ndarray | None = None
    path: Path | None = None
    ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        joints, scores = np.asarray(self.joints_mm, np.float32), np.asarray(self.scores, np.float32)
        count, joint_count = len(joints), len(self.skeleton)
        if joints.shape != (count, joint_count, 3) or scores.shape != (count, joint_count):
            raise ShapeError(
                f"3D poses of '{self.skeleton.name}' need joints (N, {joint_count}, 3) and scores (N, {joint_count}), "
                f"got {joints.shape} and {scores.shape}"
            )
        if scores.size and not ((scores >= 0) & (scores <= 1)).all():
            raise ShapeError(f"scores must lie in [0, 1], got {float(scores.min())} ... {float(scores.max())}")
        for name, shape in (("translation_mm", (count, 3)), ("ids", (count,))):
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ShapeError(f"3D poses of {count} people need {name} {shape}, got {np.shape(value)}")
        object.__setattr__(self, "joints_mm", joints)
        object.__setattr__(self, "scores", scores)
        if self.translation_mm is not None:
            object.__setattr__(self, "translation_mm", np.asarray(self.translation_mm, np.float32))

    def __len__(self) -> int:
        return len(self.joints_mm)

    @property
    def lifted(self) -> np.ndarray:
        """(N,) bool: people that have a 3D pose."""
        return np.asarray(np.isfinite(self.joints_mm).all((1, 2)))

    @property
    def camera_mm(self) -> np.ndarray:
        """(N, K, 3) joints in the camera's space; `ShapeError` where no camera was known."""
        if self.translation_mm is None:
            raise ShapeError("these 3D poses were lifted without a camera, so their place is unknown; give one")
        return self.joints_mm + self.translation_mm[:, None]

    def select(self, index: Any) -> Poses3D:
        """The people picked by a numpy index or mask (or the one picked by a number), as another `Poses3D`."""
        if isinstance(index, int | np.integer):
            index = [index]
        pick = lambda array: None if array is None else array[index]  # noqa: E731
        return replace(
            self,
            joints_mm=self.joints_mm[index],
            scores=self.scores[index],
            translation_mm=pick(self.translation_mm),
            ids=pick(self.ids),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: positions to a tenth of a millimetre, null for people that could not be lifted."""
        people = []
        for i, lifted in enumerate(self.lifted):
            person: dict[str, Any] = {"joints_mm": _rounded(self.joints_mm[i], 1) if lifted else None}
            person["scores"] = _rounded(self.scores[i], 4)
            if self.translation_mm is not None:
                known = lifted and bool(np.isfinite(self.translation_mm[i]).all())
                person["translation_mm"] = _rounded(self.translation_mm[i], 1) if known else None
            if self.ids is not None:
                person["id"] = int(self.ids[i])
            people.append(person)
        return {"image": "" if self.path is None else self.path.as_posix(), "people": people}


def _rounded(values: np.ndarray, digits: int) -> list:
    return np.round(values.astype(np.float64), digits).tolist()
