"""COCO's 17 keypoints (Lin et al., 2014; keypoint task of 2016). Sigmas: cocodataset.org, keypoint evaluation."""

from .skeleton import Skeleton, edges_by_name

_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
    0.089, 0.089,
)  # fmt: skip

COCO17 = Skeleton(
    name="coco17",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "left_ankle left_knee left_hip right_hip right_knee right_ankle",
        "left_hip left_shoulder right_shoulder right_hip",
        "left_shoulder left_elbow left_wrist",
        "right_shoulder right_elbow right_wrist",
        "left_ear left_eye nose right_eye right_ear",
        "left_eye right_eye",
        "left_ear left_shoulder",
        "right_ear right_shoulder",
    ),
    sigmas=_SIGMAS,
)
