"""Human3.6M as github.com/anibali/h36m-fetch leaves it: pictures of every fifth frame and one ``annot.h5`` a take.

``S1/Walking-1/annot.h5`` (older versions: ``S1/Walking/annot.h5``) has one row a picture: ``pose/2d`` (N, 32, 2)
px, ``pose/3d`` (N, 32, 3) mm in camera axes (``pose/3d-univ`` for a person of standard size), ``camera``, ``frame``
(from 1), and for each camera ``intrinsics/54138969``: focal length and centre along x, then along y. Pictures are
``imageSequence/54138969/img_000001.jpg`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ...extras import need
from ...geometry.cameras import Camera
from ...skeletons import H36M17
from ..poses3d import Frames3D, concatenate
from .names import SIZES_WH, action_of, joints_17, subjects_in


def read_annot_h5(
    path: str | os.PathLike,
    subjects: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    universal: bool = False,
) -> Frames3D:
    """All takes under the folder ``path`` (that with S1, S5, ...), in camera axes.

    ``subjects`` and ``actions`` name those to read; ``universal`` takes the positions of a person of standard size. The
    cameras are at the origin, since the file does not say where they stood.

    Raises `FormatError` for folders or files that are missing, damaged or contradict themselves.
    """
    root = Path(path)
    h5py = need("h5py", "data", "reading Human3.6M's annot.h5")
    parts = []
    for subject in subjects_in(root, subjects):
        for file in sorted((root / subject).glob("*/annot.h5")):
            take = file.parent.name
            if actions is None or action_of(take) in actions:
                parts.append(_take(file, subject, take, _arrays(h5py, file, universal)))
    if not parts:
        raise FormatError(root, f"no annot.h5 of {actions or 'any action'} under the folders of subjects")
    return concatenate(parts)


def _arrays(h5py: Any, path: Path, universal: bool) -> dict[str, Any]:
    pose = "pose/3d-univ" if universal else "pose/3d"
    try:
        with h5py.File(os.fspath(path), "r") as file:
            found: dict[str, Any] = {name: np.asarray(file[name]) for name in ("pose/2d", pose, "frame", "camera")}
            group = file["intrinsics-univ" if universal and "intrinsics-univ" in file else "intrinsics"]
            found["intrinsics"] = {str(name): np.asarray(group[name], np.float64) for name in group}
    except KeyError as error:
        hint = "" if universal else "; files of older versions have universal positions alone: universal=True"
        raise FormatError(path, f"lacks an array: {error}{hint}") from error
    except OSError as error:
        raise FormatError(path, f"cannot be read as HDF5: {error}") from error
    found["joints"] = found.pop(pose)
    return found


def _take(path: Path, subject: str, take: str, arrays: dict[str, Any]) -> Frames3D:
    joints = joints_17(path, arrays["joints"], 3, "pose/3d")
    keypoints = joints_17(path, arrays["pose/2d"], 2, "pose/2d")
    frame, names = arrays["frame"].astype(np.int64), arrays["camera"].astype(np.int64).astype(str)
    if not len(joints) == len(keypoints) == len(frame) == len(names):
        raise FormatError(path, f"rows do not belong together: {[len(a) for a in (joints, keypoints, frame, names)]}")
    present = sorted(set(names.tolist()))
    cameras = []
    for name in present:
        numbers = arrays["intrinsics"].get(name)
        if numbers is None or numbers.shape != (4,) or not (numbers[[0, 2]] > 0).all():
            raise FormatError(path, f"expected four numbers, got {numbers}", field=f"intrinsics/{name}")
        focal, centre = numbers[[0, 2]], numbers[[1, 3]]
        cameras.append(Camera(focal, centre, np.eye(3), np.zeros(3), size_wh=SIZES_WH.get(name)))
    folder = path.parent / "imageSequence"
    rows = zip(names, frame, strict=True)
    files = [folder / name / f"img_{number:06d}.jpg" for name, number in rows]
    return Frames3D(
        H36M17,
        joints,
        subject=np.full(len(joints), subject),
        action=np.full(len(joints), action_of(take)),
        sequence=np.array([f"{subject}/{take}/{name}" for name in names], np.str_),
        frame=frame - 1,
        keypoints_px=keypoints,
        pictures=tuple(file if file.is_file() else None for file in files),
        cameras=tuple(cameras),
        camera=np.searchsorted(present, names),
        source="Human3.6M",
    )
