"""Leeds Sports Pose's 14 joints (Johnson & Everingham, BMVC 2010), person-centric, in the order of ``joints.mat``.

LSP defines no OKS sigmas; see `mpii16` for how they were chosen.
"""

from .skeleton import Skeleton, edges_by_name

_JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "neck", "head_top",
)  # fmt: skip

LSP14 = Skeleton(
    name="lsp14",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "right_ankle right_knee right_hip left_hip left_knee left_ankle",
        "right_hip right_shoulder neck left_shoulder left_hip",
        "right_shoulder right_elbow right_wrist",
        "left_shoulder left_elbow left_wrist",
        "neck head_top",
    ),
    sigmas=(0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062, 0.079, 0.070),
)
