"""C3D, the binary format of marker positions (www.c3d.org), through ezc3d (Michaud & Begon, JOSS 2021; MIT).

Needs the extra ``mocap``. Units are kept as mm; a marker that was not seen is NaN.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..extras import need
from .motion import Motion
from .writing import atomic_path

_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}


def write_c3d(path: str | os.PathLike, motion: Motion) -> Path:
    """Write joints as markers in mm, 32-bit floats.

    Raises `MissingExtraError` without ezc3d, and `FormatError` for a take without frames, which C3D cannot hold.
    """
    ezc3d = need("ezc3d", "mocap", "writing C3D")
    if len(motion) == 0:
        raise FormatError(path, "C3D needs at least one frame", record=motion.name)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [motion.fps]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(motion.joints)
    points = np.ones((4, len(motion.joints), len(motion)))
    points[:3] = motion.positions_mm.transpose(2, 1, 0)
    file["data"]["points"] = points
    # A marker that was not seen has the residual -1; ezc3d works it out from NaN.
    with atomic_path(path) as temporary:
        file.write(str(temporary))
    return Path(path)


def read_c3d(path: str | os.PathLike) -> Motion:
    """Read markers as a `Motion` in mm, every marker a root of its own: the format knows no bones.

    Raises `MissingExtraError` without ezc3d, and `FormatError` for a file that is no C3D.
    """
    ezc3d = need("ezc3d", "mocap", "reading C3D")
    if not Path(path).is_file():
        raise FormatError(path, "no such file; expected a .c3d file")
    try:
        file = ezc3d.c3d(str(path))
        point = file["parameters"]["POINT"]
        labels = tuple(str(label) for label in point["LABELS"]["value"])
        unit = _UNITS_MM[str(point["UNITS"]["value"][0]).strip().lower()]
        fps = float(point["RATE"]["value"][0])
        positions = np.asarray(file["data"]["points"], np.float64)[:3].transpose(2, 1, 0) * unit
    except Exception as error:  # the library raises its own, undocumented types
        raise FormatError(path, f"is not a C3D file that can be read ({error})") from error
    if positions.shape[1] != len(labels):
        raise FormatError(path, f"has {positions.shape[1]} markers and {len(labels)} labels")
    return Motion(labels, (-1,) * len(labels), positions, fps, Path(path).stem)
