"""MPII Human Pose's 16 joints (Andriluka et al., CVPR 2014), in the order of its annotation file.

MPII defines no OKS sigmas. Where COCO has the same joint its sigma is used; pelvis and thorax take the hip's and the
shoulder's, neck and head top the shoulder's and the ear's doubled, being landmarks that annotators place less exactly.
"""

from .skeleton import Skeleton, edges_by_name

_JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "pelvis", "thorax", "neck", "head_top",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip

_SIGMAS = (
    0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.107, 0.079, 0.079, 0.070, 0.062, 0.072, 0.079, 0.079, 0.072,
    0.062,
)  # fmt: skip

MPII16 = Skeleton(
    name="mpii16",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "right_ankle right_knee right_hip pelvis left_hip left_knee left_ankle",
        "pelvis thorax neck head_top",
        "right_wrist right_elbow right_shoulder thorax left_shoulder left_elbow left_wrist",
    ),
    sigmas=_SIGMAS,
)
