"""The figure that chooses the best epoch: PCK@0.2 of the torso over the limb joints a data set labels."""

from __future__ import annotations

import numpy as np

from ..data import PoseDataset

_NOT_LIMBS = ("nose", "eye", "ear", "head", "neck", "pelvis", "thorax", "spine")


def validation_pck(dataset: PoseDataset, index: np.ndarray, found_px: np.ndarray) -> float:
    """Mean over limb joints of the share found within 0.2 torso lengths, in photo pixels; NaN if none is labelled."""
    skeleton = dataset.skeleton
    limbs = [k for k, joint in enumerate(skeleton.joints) if not any(part in joint for part in _NOT_LIMBS)]
    truth_px = np.stack([dataset.people[i][1].keypoints_px for i in index])
    torso_px = np.linalg.norm(
        truth_px[:, skeleton.index("left_shoulder")] - truth_px[:, skeleton.index("right_hip")], axis=1
    )
    distance = np.linalg.norm(found_px - truth_px, axis=2) / torso_px[:, None]
    counted = np.isfinite(distance)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_joint = ((distance <= 0.2) & counted).sum(axis=0) / counted.sum(axis=0)
    return float(np.nanmean(per_joint[limbs])) if counted[:, limbs].any() else float("nan")
