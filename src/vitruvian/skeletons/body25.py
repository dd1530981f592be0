"""OpenPose's BODY_25 (Cao et al., TPAMI 2019), in the order of its output files.

``neck`` is OpenPose's mid-shoulder point and ``pelvis`` its MidHip. Foot sigmas follow COCO-WholeBody's big toe,
small toe and heel (Jin et al., ECCV 2020); see `mpii16` for the rest.
"""

from .skeleton import Skeleton, edges_by_name

_JOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

_SIGMAS = (
    0.026, 0.079, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089,
    0.025, 0.025, 0.035, 0.035, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094,
)  # fmt: skip

BODY25 = Skeleton(
    name="body25",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "nose neck pelvis",
        "neck right_shoulder right_elbow right_wrist",
        "neck left_shoulder left_elbow left_wrist",
        "pelvis right_hip right_knee right_ankle",
        "pelvis left_hip left_knee left_ankle",
        "nose right_eye right_ear",
        "nose left_eye left_ear",
        "left_ankle left_big_toe left_small_toe",
        "left_ankle left_heel",
        "right_ankle right_big_toe right_small_toe",
        "right_ankle right_heel",
    ),
    sigmas=_SIGMAS,
)
