"""``data_3d_h36m.npz``, the positions that VideoPose3D's tools write (Pavllo et al., CVPR 2019).

``positions_3d`` is a dictionary subject -> take -> (F, 32, 3) float32 in metres, in the data set's world (z up), at 50
frames a second. There are no pictures, and no cameras: those come from one of the files that `cameras` reads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ...skeletons import H36M17
from ..poses3d import Frames3D, concatenate
from .cameras import read_cameras
from .names import CAMERAS, action_of, joints_17
from .restricted import read_object_npz


def read_positions_npz(
    path: str | os.PathLike,
    cameras: str | os.PathLike | None = None,
    subjects: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
) -> Frames3D:
    """All takes, in world axes; with ``cameras`` once for each of the four, in its axes and with pixels.

    Raises `FormatError` for a file of another kind (it is never unpickled as it is), or a subject it does not have.
    """
    path = Path(path)
    data = read_object_npz(path, "positions_3d")
    if not isinstance(data, dict) or not data or not all(isinstance(takes, dict) for takes in data.values()):
        raise FormatError(path, "expected a dictionary of subjects and their takes", field="positions_3d")
    lacking = sorted(set(subjects or ()) - set(data))
    if lacking:
        raise FormatError(path, f"has no subject {lacking[0]}; it has {', '.join(map(str, data))}")
    known = None if cameras is None else read_cameras(cameras)
    parts = []
    for subject in subjects or sorted(data, key=str):
        for take, positions in data[subject].items():
            if actions is not None and action_of(str(take)) not in actions:
                continue
            joints = joints_17(path, positions, 3, f"{subject}/{take}") * 1000
            if known is None:
                parts.append(_frames(joints, str(subject), str(take), "", {"axes": "world"}))
                continue
            for name in CAMERAS:
                if (subject, name) not in known:
                    raise FormatError(cameras, f"has no camera {name} of {subject}")
                camera = known[subject, name]
                seen = camera.world_to_camera(joints)
                more = {
                    "keypoints_px": camera.camera_to_image(seen),
                    "cameras": (camera,),
                    "camera": np.zeros(len(seen)),
                }
                parts.append(_frames(seen, str(subject), str(take), name, more))
    if not parts:
        raise FormatError(path, f"has no take of {actions}")
    return concatenate(parts)


def _frames(joints_mm: np.ndarray, subject: str, take: str, camera: str, more: dict[str, Any]) -> Frames3D:
    count = len(joints_mm)
    sequence = "/".join(part for part in (subject, take, camera) if part)
    labels = {"subject": subject, "action": action_of(take), "sequence": sequence}
    columns = {name: np.full(count, value) for name, value in labels.items()}
    return Frames3D(H36M17, joints_mm, **columns, frame=np.arange(count), source="Human3.6M", **more)
