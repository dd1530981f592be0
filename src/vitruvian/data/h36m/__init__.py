"""Human3.6M (Ionescu et al., TPAMI 2014) in the layouts people have; all give `Frames3D`.

The data themselves are gated (vision.imar.ro/human3.6m) and not part of this project; these layouts are read as their
makers' tools write them, and tested on files made by the tests.

Adding a layout: a function ``(path, **options) -> Frames3D`` in a file of its own, its name in `READERS`, and a test
that writes files in it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..poses3d import Frames3D
from .annot_h5 import read_annot_h5
from .annot_json import read_annot_json
from .cdf import read_cdf
from .positions_npz import read_positions_npz

READERS: dict[str, Callable[..., Frames3D]] = {
    "h36m_annot_h5": read_annot_h5,
    "h36m_annot_json": read_annot_json,
    "h36m_cdf": read_cdf,
    "h36m_positions_npz": read_positions_npz,
}

__all__ = ["READERS", "read_annot_h5", "read_annot_json", "read_cdf", "read_positions_npz"]
