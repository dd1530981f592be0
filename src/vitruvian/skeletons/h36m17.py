"""Human3.6M's usual 17 joints (Ionescu et al., TPAMI 2014; the subset of 32 that papers evaluate).

Human3.6M defines no OKS sigmas; see `mpii16` for how they were chosen.
"""

from .skeleton import Skeleton, edges_by_name

_JOINTS = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "spine", "thorax", "neck_base", "head_top",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip

_SIGMAS = (
    0.107, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.107, 0.079, 0.079, 0.070, 0.079, 0.072, 0.062, 0.079,
    0.072, 0.062,
)  # fmt: skip

H36M17 = Skeleton(
    name="h36m17",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "pelvis right_hip right_knee right_ankle",
        "pelvis left_hip left_knee left_ankle",
        "pelvis spine thorax neck_base head_top",
        "thorax left_shoulder left_elbow left_wrist",
        "thorax right_shoulder right_elbow right_wrist",
    ),
    sigmas=_SIGMAS,
)
