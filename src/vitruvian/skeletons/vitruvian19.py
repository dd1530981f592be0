"""The shipped models' 19 joints: COCO's 17, then neck and head top as LSP defines them.

One head thus learns from COCO and LSP photos together: every joint of both is here by name.
"""

from .coco17 import COCO17
from .skeleton import Skeleton, edges_by_name

_JOINTS = (*COCO17.joints, "neck", "head_top")

VITRUVIAN19 = Skeleton(
    name="vitruvian19",
    joints=_JOINTS,
    edges=edges_by_name(
        _JOINTS,
        "left_ankle left_knee left_hip right_hip right_knee right_ankle",
        "left_hip left_shoulder neck right_shoulder right_hip",
        "left_shoulder left_elbow left_wrist",
        "right_shoulder right_elbow right_wrist",
        "left_ear left_eye nose right_eye right_ear",
        "neck head_top",
    ),
    sigmas=(*COCO17.sigmas, 0.079, 0.070),
)
