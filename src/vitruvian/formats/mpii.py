"""MPII Human Pose (Andriluka et al., CVPR 2014) in the four layouts in use; the suffix and the content tell which.

- ``.mat``: the official ``mpii_human_pose_v1_u12_1.mat`` (`mpii_mat`), the only one with head boxes;
- ``.json``: the list of SimpleBaselines and HRNet (``joints_vis``), or that of the pose machines' and hourglasses'
  converters (``joint_self``) (`mpii_json`);
- ``.h5``: the arrays of the stacked hourglass (`mpii_h5`).

What is the same in all of them after reading:

- Coordinates in the files are MATLAB's: the centre of the first pixel is (1, 1), so 1 is subtracted; writers add it.
- Joints are MPII's 16. Hidden joints have visibility 1 where the layout tells (``joints_vis`` does not).
- ``Person.extra["scale"]`` is the person's height over 200 pixels and ``extra["center"]`` the (x, y) in the middle,
  both as published, without the enlargement that some layouts have already applied.
- ``Person.box_xyxy`` is the square that published results crop, without its padding of 1.25: side 200 x scale about the
  centre, moved down by 15 x scale so that feet stay inside (Newell et al., ECCV 2016, and their code). MPII labels no
  person boxes, so this is None where there is no scale.
- ``Record.image_id`` is the file name's stem; ``Record.extra["split"]`` is ``"train"``, ``"valid"`` or ``"test"`` where
  the layout tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import FormatError
from ..types import Record
from . import mpii_h5, mpii_json, mpii_mat
from .reading import Reading, ReadResult, SizeOf, header_size

_SUFFIXES = (".mat", ".json", ".h5", ".hdf5")


def read(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    keep_unlabelled: bool = False,
    tolerance_px: float = 1.0,
    size_of: SizeOf | None = header_size,
) -> ReadResult:
    """Read MPII annotations in any of the layouts above.

    Parameters
    ----------
    path : a ``.mat``, ``.json`` or ``.h5`` file.
    images : the folder of the images; None takes ``images/`` beside the file where it exists.
    keep_unlabelled : keep people without joints, e.g. those of the test set, whose joints are not published.
    tolerance_px : see `reading`. Many head tops lie above the image, being ends of the head's rectangle; MPII's own
        evaluation counts them, and so does ``tolerance_px=float("inf")``.
    size_of : how to get an image's size where the layout does not tell; None leaves it unknown.

    Raises
    ------
    FormatError
        Another suffix, or a file that is not of one of the layouts; names file, record and field.
    """
    path = Path(path)
    reading = Reading("mpii", path, images, keep_unlabelled=keep_unlabelled, tolerance_px=tolerance_px, size_of=size_of)
    suffix = _suffix(path)
    if suffix == ".mat":
        return mpii_mat.read_mat(reading)
    if suffix == ".json":
        return mpii_json.read_json(reading)
    return mpii_h5.read_h5(reading)


def write(records: Iterable[Record], path: str | os.PathLike, *, layout: str = "joints_vis") -> Path:
    """Write records of MPII's joints; the suffix of ``path`` chooses the kind of file. `read` gives them back.

    Parameters
    ----------
    records : in MPII's 16 joints (see `remap`). A person without ``extra["scale"]`` and ``extra["center"]`` gets those
        whose square, as above, is the smallest about the box.
    path : ``.mat``, ``.json`` or ``.h5``.
    layout : of JSON: ``"joints_vis"`` or ``"joint_self"``.

    Raises
    ------
    FormatError
        Another suffix or layout, other joints, or a record without an image name.
    """
    records, path = list(records), Path(path)
    suffix = _suffix(path)
    if suffix == ".mat":
        return mpii_mat.write_mat(records, path)
    if suffix == ".json":
        return mpii_json.write_json_list(records, path, layout)
    return mpii_h5.write_h5(records, path)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise FormatError(path, f"MPII files end in {', '.join(_SUFFIXES)}, got '{suffix}'")
    return suffix
