"""Every joint of every skeleton as a point of the posed body: a bone's head, a point of the skin, or a mean of such.

What each name means follows the data sets that use it; where two of them mean different points by one name (BODY_25's
``neck`` is the middle of the shoulders, LSP's and MPII's is half-way up the neck) `for_skeleton` knows which.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...errors import SkeletonError
from ...skeletons import Skeleton
from .body import BodyModel

_SIDES = (("left", "L"), ("right", "R"))
_SURFACE = (
    "nose",
    "head_top",
    *(f"{s}_{p}" for s, _ in _SIDES for p in ("eye", "ear", "heel", "big_toe", "small_toe")),
)

# name -> ((kind, what, share), ...): shares sum to 1
_Terms = tuple[tuple[str, str, float], ...]
LANDMARKS: dict[str, _Terms] = {name: (("skin", name, 1.0),) for name in _SURFACE}
for _side, _letter in _SIDES:
    for _joint, _bone in (
        ("shoulder", "upperarm01"), ("elbow", "lowerarm01"), ("wrist", "wrist"), ("hip", "upperleg01"),
        ("knee", "lowerleg01"), ("ankle", "foot"),
    ):  # fmt: skip
        LANDMARKS[f"{_side}_{_joint}"] = (("bone", f"{_bone}.{_letter}", 1.0),)
LANDMARKS |= {
    "pelvis": (("bone", "upperleg01.L", 0.5), ("bone", "upperleg01.R", 0.5)),
    "spine": (("bone", "spine03", 1.0),),
    "thorax": (("bone", "neck01", 1.0),),
    "neck": (("bone", "neck01", 0.5), ("bone", "head", 0.5)),
    "neck_base": (("bone", "head", 1.0),),
    "mid_shoulder": (("bone", "upperarm01.L", 0.5), ("bone", "upperarm01.R", 0.5)),
}
NAMES = tuple(LANDMARKS)
_OVERRIDES = {("body25", "neck"): "mid_shoulder"}
_CLOTH_MM = 30.0  # what clothes and soft parts may put in front of a joint that still counts as seen


def for_skeleton(skeleton: Skeleton) -> np.ndarray:
    """(K,) index into `NAMES` of each joint; `SkeletonError` names a joint that bodies do not have."""
    out = []
    for joint in skeleton.joints:
        name = _OVERRIDES.get((skeleton.name, joint), joint)
        if name not in LANDMARKS:
            raise SkeletonError(f"synthetic people have no joint '{joint}'; they have {', '.join(NAMES)}")
        out.append(NAMES.index(name))
    return np.array(out)


def locate(body: BodyModel, heads_mm: np.ndarray, vertices_mm: np.ndarray) -> np.ndarray:
    """(L, 3) float64 places of `NAMES`, from posed bone heads (B, 3) and posed vertices (V, 3)."""
    bones, skin = _matrices(body)
    return bones @ heads_mm.astype(np.float64) + skin @ vertices_mm[body.landmark_vertex].astype(np.float64)


def radii(body: BodyModel, heads_mm: np.ndarray, vertices_mm: np.ndarray) -> np.ndarray:
    """(L,) mm: how far in front of each of `NAMES` the skin or the clothes of the same body part may be.

    Twice the distance to the nearest skin at rest, and some cloth: from the front a hip lies farther
    under the skin than where the skin is nearest. `heads_mm`, `vertices_mm` are those at rest.
    """
    places = locate(body, heads_mm, vertices_mm)
    drawn = vertices_mm[_drawn(body)].astype(np.float64)
    square = (drawn**2).sum(axis=1) - 2 * places @ drawn.T  # less that of the place itself
    away = np.sqrt(np.maximum(square.min(axis=1) + (places**2).sum(axis=1), 0))
    return 2.0 * away + _CLOTH_MM


@lru_cache(maxsize=4)
def _matrices(body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    bones, skin = np.zeros((len(NAMES), len(body.bones))), np.zeros((len(NAMES), len(body.landmarks)))
    for row, terms in enumerate(LANDMARKS.values()):
        for kind, what, share in terms:
            (bones if kind == "bone" else skin)[
                row, body.bone_index[what] if kind == "bone" else body.landmarks.index(what)
            ] += share
    return bones, skin


@lru_cache(maxsize=4)
def _drawn(body: BodyModel) -> np.ndarray:
    return np.unique(body.corner_vertex)[::4]
