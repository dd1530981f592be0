"""The figure that chooses the best epoch: PCK@0.2 of the torso over the 12 limb joints."""

from __future__ import annotations

import numpy as np

from ..data import PoseDataset
from ..metrics.pck import LIMBS12, pck
from ..metrics.scales import torso_px


def validation_pck(dataset: PoseDataset, index: np.ndarray, found_px: np.ndarray) -> float:
    """PCK of people ``index`` (N,) of a data set, found at ``found_px`` (N, K, 2) photo px; NaN if none counts."""
    people = [dataset.people[i][1] for i in index]
    truth_px = np.stack([p.keypoints_px for p in people])
    visible = np.stack([p.labelled for p in people])
    limbs = np.array([joint in LIMBS12 for joint in dataset.skeleton.joints])
    lengths = torso_px(dataset.skeleton, truth_px)
    return float(pck(found_px, truth_px, visible, lengths, (0.2,), joints=limbs).mean_joint[0])
