"""Reading motion capture by a file's suffix: one function for every format that gives a `Motion`.

Adding a format: a reader that gives `Motion` (or several), and an entry in `MOTION_READERS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import FormatError
from .asf_amc import read_asf_amc
from .bvh import read_bvh
from .c3d import read_c3d
from .mocap_npz import read_mocap_npz
from .motion import Motion
from .trc import read_trc


def _amc(path: Path, asf: Path | None, unit_mm: float) -> list[Motion]:
    """The skeleton is the file that was given, or the only .asf beside the movement, or the one of its subject."""
    if asf is None:
        beside = sorted(path.parent.glob("*.asf"))
        named = [file for file in beside if path.stem.startswith(file.stem)]
        if len(named or beside) != 1:
            raise FormatError(path, f"an AMC needs its skeleton, and {len(beside)} .asf files are beside it; name one")
        asf = (named or beside)[0]
    return [read_asf_amc(asf, path)]


MOTION_READERS: dict[str, Callable[[Path, Path | None, float], list[Motion]]] = {
    ".amc": _amc,
    ".bvh": lambda path, asf, unit_mm: [read_bvh(path, unit_mm=unit_mm)],
    ".c3d": lambda path, asf, unit_mm: [read_c3d(path)],
    ".npz": lambda path, asf, unit_mm: read_mocap_npz(path),
    ".trc": lambda path, asf, unit_mm: [read_trc(path)],
}


def read_motion(
    path: str | os.PathLike, *, asf: str | os.PathLike | None = None, unit_mm: float = 10.0
) -> list[Motion]:
    """The takes of a motion capture file: BVH, ASF/AMC (give the AMC), C3D, TRC, or this project's ``.npz``.

    Parameters
    ----------
    path : the file; its suffix says what it is.
    asf : the skeleton of an AMC; by default the one beside it.
    unit_mm : what one unit of a BVH is, in mm.

    Raises
    ------
    FormatError
        Another suffix, or a file that its reader refuses.
    """
    path = Path(path)
    reader = MOTION_READERS.get(path.suffix.lower())
    if reader is None:
        raise FormatError(path, f"motion is read from {', '.join(MOTION_READERS)}, got '{path.suffix or path.name}'")
    return reader(path, None if asf is None else Path(asf), unit_mm)
