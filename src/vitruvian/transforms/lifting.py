"""What a lifter sees and says: the conventions between 2D joints and root-relative millimetres, written once.

Input. 14 joints (`INPUT_JOINTS`, those of ``lsp14``) as x, y and score. Positions are relative to the mean of the
present joints and divided by their root-mean-square distance from it, so neither the photo's size nor the person's
place and distance matter; x goes right and y down. A missing joint is 0, 0 with the score 0; joints that a skeleton
lacks (neck and head top of ``coco17``) are missing. ``h36m17`` has no neck as photos are labelled with: it is taken
half-way between thorax and neck base, which is where LSP's labels have it (0.11 torso lengths above the shoulders;
median of LSPET's).

Output. ``h36m17`` relative to the pelvis, in the axes of a camera that looks at the person: x right, y down, z away
from the camera. A photo does not tell how tall someone is: every person is given the size `STANDARD_MM`, see
`body_size_mm`.
"""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..skeletons import H36M17, LSP14, Skeleton

INPUT_JOINTS = LSP14
"""The joints a lifter takes."""

OUTPUT_JOINTS = H36M17
"""The joints a lifter gives."""

STANDARD_MM = 1600.0
"""The size (see `body_size_mm`) every person is given: that of somebody about 1.7 m tall."""

LEAST_JOINTS = 6
"""Fewer present joints than these say too little of a pose."""

_TRUNK = ("pelvis", "spine", "thorax", "neck_base", "head_top")


def body_size_mm(joints_mm: np.ndarray) -> np.ndarray:
    """(...,) a person's size from joints (..., 17, 3) of ``h36m17``, in any pose: the length of the chain pelvis,
    spine, thorax, neck base, head top, and of a leg from hip to ankle (the mean of both). Ankle to sole is not part of
    it.
    """
    joints = _checked(joints_mm, OUTPUT_JOINTS)
    chains = [_TRUNK, *(tuple(f"{side}_{j}" for j in ("hip", "knee", "ankle")) for side in ("left", "right"))]
    trunk, left, right = (
        np.linalg.norm(np.diff(joints[..., [OUTPUT_JOINTS.index(j) for j in chain], :], axis=-2), axis=-1).sum(-1)
        for chain in chains
    )
    return trunk + (left + right) / 2


def standard_size(joints_mm: np.ndarray) -> np.ndarray:
    """(..., 17, 3) joints relative to the pelvis, scaled to a `body_size_mm` of `STANDARD_MM`."""
    joints = _checked(joints_mm, OUTPUT_JOINTS)
    scale = STANDARD_MM / body_size_mm(joints)
    return (joints - joints[..., :1, :]) * scale[..., None, None]


def input_joints(joints: np.ndarray) -> np.ndarray:
    """(..., 17, D) positions of ``h36m17`` to (..., 14, D) of `INPUT_JOINTS`, in 3D or in a picture."""
    joints = np.asarray(joints)
    if joints.ndim < 2 or joints.shape[-2] != len(OUTPUT_JOINTS):
        raise ShapeError(f"expected joints of h36m17 (..., {len(OUTPUT_JOINTS)}, D), got {joints.shape}")
    out = INPUT_JOINTS.take(OUTPUT_JOINTS, joints, joints.ndim - 2, np.nan)
    between = [OUTPUT_JOINTS.index("thorax"), OUTPUT_JOINTS.index("neck_base")]
    out[..., INPUT_JOINTS.index("neck"), :] = joints[..., between, :].mean(-2)
    return out


def from_skeleton(keypoints: np.ndarray, scores: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, K, 2) and scores (N, K) of any skeleton, by name: (N, 14, 2), NaN where missing, and (N, 14), 0 there.

    Raises `ShapeError` for arrays that do not fit the skeleton, or one that shares too few joints.
    """
    keypoints, scores = np.asarray(keypoints, np.float64), np.asarray(scores, np.float64)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton), 2) or scores.shape != keypoints.shape[:2]:
        raise ShapeError(
            f"expected keypoints (N, {len(skeleton)}, 2) and scores (N, {len(skeleton)}) of '{skeleton.name}', got "
            f"{keypoints.shape} and {scores.shape}"
        )
    if skeleton.name == OUTPUT_JOINTS.name:
        return input_joints(keypoints), INPUT_JOINTS.take(skeleton, scores, 1, 1.0)
    shared = [joint for joint in INPUT_JOINTS.joints if joint in skeleton.joints]
    if len(shared) < LEAST_JOINTS:
        raise ShapeError(
            f"lifting needs at least {LEAST_JOINTS} of {', '.join(INPUT_JOINTS.joints)}; '{skeleton.name}' has only "
            f"{', '.join(shared) or 'none'}"
        )
    return INPUT_JOINTS.take(skeleton, keypoints, 1, np.nan), INPUT_JOINTS.take(skeleton, scores, 1, 0.0)


def lifter_inputs(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(..., 14, 2) positions in any unit (NaN: missing) and (..., 14) scores to (..., 14, 3) float32, see the module's
    docstring. A score of 0 makes a joint missing too. With fewer than two present joints everything is 0.
    """
    points, scores = np.asarray(keypoints, np.float64), np.asarray(scores, np.float64)
    if points.shape[-2:] != (len(INPUT_JOINTS), 2) or scores.shape != points.shape[:-1]:
        raise ShapeError(
            f"expected keypoints (..., {len(INPUT_JOINTS)}, 2) and scores (..., {len(INPUT_JOINTS)}), got "
            f"{points.shape} and {scores.shape}"
        )
    present = np.isfinite(points).all(-1) & (scores > 0)
    count = np.maximum(present.sum(-1), 1)[..., None]
    points = np.where(present[..., None], points, 0.0)
    offset = np.where(present[..., None], points - (points.sum(-2) / count)[..., None, :], 0.0)
    spread = np.sqrt((offset**2).sum((-2, -1)) / count[..., 0])
    offset = offset / np.where(spread > 0, spread, 1.0)[..., None, None]
    return np.concatenate([offset, np.where(present, scores, 0.0)[..., None]], axis=-1).astype(np.float32)


def _checked(joints_mm: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    joints = np.asarray(joints_mm, np.float64)
    if joints.ndim < 2 or joints.shape[-2:] != (len(skeleton), 3):
        raise ShapeError(f"expected joints of {skeleton.name} (..., {len(skeleton)}, 3) in mm, got {joints.shape}")
    return joints
