"""Motion capture as arrays in one ``.npz``: many takes of the same joints, one after the other.

The layout, of this project: ``joints_mm`` (F, J, 3) int16 relative to joint 0, whose place is ``root_mm`` (F, 3) int32;
``sequence_start`` (S + 1,) first frame of each take and the end; ``sequence_name`` (S,), ``fps`` (S,),
``joint_name`` (J,). Millimetres, y up. ``neck`` is read as h36m17's ``neck_base``, which is
between thorax and head top.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..skeletons import H36M17
from .motion import Motion
from .writing import atomic_path

_ARRAYS = {"joints_mm": 3, "root_mm": 2, "sequence_start": 1, "sequence_name": 1, "fps": 1, "joint_name": 1}
_ALIASES = {"neck": "neck_base"}


def read_mocap_npz(path: str | os.PathLike) -> list[Motion]:
    """All takes of a file, in absolute positions (float64 mm).

    The joints have to be those of ``h36m17``, in whatever order: that skeleton says whose parent each is.
    Raises `FormatError` for a file that is not such a one, or that contradicts itself.
    """
    arrays = _load(path)
    joints, root, start = arrays["joints_mm"], arrays["root_mm"], arrays["sequence_start"]
    names = tuple(_ALIASES.get(str(name), str(name)) for name in arrays["joint_name"])
    if sorted(names) != sorted(H36M17.joints) or names[0] != H36M17.joints[0]:
        raise FormatError(
            path, f"expected the joints of h36m17, pelvis first, got {', '.join(names)}", field="joint_name"
        )
    takes = len(arrays["sequence_name"])
    if joints.shape[1:] != (len(names), 3) or root.shape != (len(joints), 3) or len(arrays["fps"]) != takes:
        raise FormatError(path, f"arrays do not belong together: { ({k: v.shape for k, v in arrays.items()}) }")
    if len(start) != takes + 1 or start[0] != 0 or start[-1] != len(joints) or (np.diff(start) < 0).any():
        problem = f"expected {takes + 1} ascending numbers from 0 to {len(joints)}, got {start.tolist()[:5]}..."
        raise FormatError(path, problem, field="sequence_start")
    if not (np.isfinite(arrays["fps"]).all() and (arrays["fps"] > 0).all()):
        raise FormatError(path, "expected positive numbers", field="fps")
    parents = {b: a for a, b in H36M17.edges}
    order = sorted(range(len(names)), key=lambda i: H36M17.index(names[i]))  # parents stand before their children
    up = tuple(parents.get(k, -1) for k in range(len(H36M17)))
    places = joints[:, order].astype(np.float64) + root[:, None]
    return [
        Motion(H36M17.joints, up, places[start[i] : start[i + 1]], float(arrays["fps"][i]), str(name))
        for i, name in enumerate(arrays["sequence_name"])
    ]


def write_mocap_npz(path: str | os.PathLike, motions: Sequence[Motion]) -> Path:
    """Write takes of h36m17's joints; `read_mocap_npz` gives them back, rounded to millimetres.

    Raises `FormatError` for other joints, or for a joint more than 32 m away from the pelvis or without a position.
    """
    for motion in motions:
        if motion.joints != H36M17.joints:
            raise FormatError(path, f"expected the joints of h36m17, got {motion.joints}", record=motion.name)
        if not (np.abs(motion.positions_mm - motion.positions_mm[:, :1]) < 32_000).all():  # false for NaN, too
            raise FormatError(path, "joints must have a position within 32 m of the pelvis", record=motion.name)
    whole = np.concatenate([np.zeros((0, len(H36M17), 3)), *(m.positions_mm for m in motions)])
    root = np.rint(whole[:, 0]).astype(np.int32)
    arrays = {
        "joints_mm": np.rint(whole - root[:, None]).astype(np.int16),
        "root_mm": root,
        "sequence_start": np.cumsum([0, *(len(m) for m in motions)]).astype(np.int32),
        "sequence_name": np.array([m.name for m in motions], dtype=str),
        "fps": np.array([m.fps for m in motions], np.float32),
        "joint_name": np.array(H36M17.joints),
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return Path(path)


def _load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise FormatError(path, "no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            lacking = [name for name in _ARRAYS if name not in file]
            if lacking:
                raise FormatError(path, f"lacks {', '.join(lacking)}; expected {', '.join(_ARRAYS)}")
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, f"cannot be read as .npz, is it truncated? ({error})") from error
    for name, dims in _ARRAYS.items():
        kinds = "U" if name.endswith("name") else "if"
        if arrays[name].ndim != dims or arrays[name].dtype.kind not in kinds:
            raise FormatError(path, f"got {arrays[name].dtype} {arrays[name].shape}", field=name)
    return arrays
