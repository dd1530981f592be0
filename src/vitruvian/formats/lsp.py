"""Leeds Sports Pose: ``joints.mat`` of LSP (Johnson & Everingham, BMVC 2010) and of LSP Extended (CVPR 2011).

One labelled person an image; image i is ``images/im0001.jpg`` (LSP) or ``images/im00001.jpg`` (LSPET), from 1.
Coordinates are MATLAB's: the centre of the first pixel is (1, 1), so 1 is subtracted. The two files differ in layout
and in what the third value of a joint means:

- LSP: 3 x 14 x N; every joint has a position, and 1 says that it is *hidden*.
- LSPET: 14 x 3 x N; 1 says that the joint is labelled, and the position means nothing where it is 0. Hidden joints that
  were labelled cannot be told from visible ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..skeletons import LSP14
from ..types import Person, Record
from .joints import require_skeleton
from .matlab import load_mat, save_mat
from .reading import Reading, ReadResult, SizeOf, header_size

_DIGITS = {"lsp": 4, "lspet": 5}
_COUNT = len(LSP14)


def read(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    variant: str | None = None,
    keep_unlabelled: bool = False,
    tolerance_px: float = 1.0,
    size_of: SizeOf | None = header_size,
) -> ReadResult:
    """Read an LSP or LSPET ``joints.mat``.

    Parameters
    ----------
    path : the file, or the folder it is in.
    images : the folder of the images; None takes ``images/`` beside the file where it exists.
    variant : ``"lsp"`` or ``"lspet"``; None goes by the array's shape, and refuses where the folder's name says
        otherwise (someone may have transposed the array, and the third value's meaning would be a guess).
    keep_unlabelled, tolerance_px : see `reading`. People here have no boxes, so ``keep_unlabelled`` keeps no one.
    size_of : how to get an image's size, which the file does not tell; None leaves it unknown.

    Returns
    -------
    One record an image with one person; ``image_id`` is the name's stem. LSP's first 1,000 images are its training
    set: ``extra["split"]`` says so in a file of all 2,000.

    Raises
    ------
    FormatError
        No such variable, another shape, a third value that is not 0 or 1, or positions that are not finite.
    """
    path = Path(path)
    path = path / "joints.mat" if path.is_dir() else path
    joints, variant = _load(path, variant)
    reading = Reading("lsp", path, images, keep_unlabelled=keep_unlabelled, tolerance_px=tolerance_px, size_of=size_of)
    digits = _digits(reading.images, variant)
    records = []
    for i, person_joints in enumerate(joints):
        name = f"im{i + 1:0{digits}d}.jpg"
        found = reading.find_image(name, name, 1)
        if found is None:
            continue
        person = reading.keep(_person(path, name, person_joints, variant), name, found.size_wh)
        split = {"split": "train" if i < 1000 else "test"} if variant == "lsp" and len(joints) == 2000 else {}
        persons = () if person is None else (person,)
        records.append(Record(found.path, Path(name).stem, found.size_wh, LSP14, persons, variant, split))
    return reading.result(records)


def write(records: Iterable[Record], path: str | os.PathLike, *, variant: str = "lspet") -> Path:
    """Write records as ``joints.mat``; `read` gives them back, except for what the format cannot hold (see above).

    Parameters
    ----------
    records : in the order of the images, one person each, in LSP's joints. The file does not hold image names: image i
        is expected as ``im00001.jpg`` and so on.
    path : the ``.mat`` file.
    variant : ``"lsp"`` (every joint must be labelled) or ``"lspet"``.

    Raises
    ------
    FormatError
        Other joints, an image with no person or several, or for ``"lsp"`` a joint without a label.
    """
    records, path = list(records), Path(path)
    _check_variant(path, variant)
    require_skeleton(records, LSP14, path)
    joints = np.zeros((len(records), _COUNT, 3))
    for i, record in enumerate(records):
        where = f"image {record.image_id}"
        if len(record.persons) != 1:
            raise FormatError(path, f"LSP has exactly one person an image, got {len(record.persons)}", record=where)
        person = record.persons[0]
        if variant == "lsp" and not person.labelled.all():
            missing = [LSP14.joints[k] for k in np.flatnonzero(~person.labelled)]
            problem = f"LSP needs a position for every joint, {', '.join(missing)} have none; use variant='lspet'"
            raise FormatError(path, problem, record=where)
        joints[i, :, :2] = np.where(person.labelled[:, None], person.keypoints_px + 1, 0)
        joints[i, :, 2] = person.visibility == 1 if variant == "lsp" else person.labelled
    # N x 14 x 3 to the files' layouts, both with the images last.
    stored = joints.transpose(2, 1, 0) if variant == "lsp" else joints.transpose(1, 2, 0)
    return save_mat(path, {"joints": stored}, "writing LSP's joints.mat")


def _check_variant(path: Path, variant: str) -> None:
    if variant not in _DIGITS:
        raise FormatError(path, f"unknown variant '{variant}', expected 'lsp' or 'lspet'")


def _load(path: Path, variant: str | None) -> tuple[np.ndarray, str]:
    """(N, 14, 3) float64 of the file, and its variant."""
    variables = load_mat(path, "reading LSP's joints.mat")
    if "joints" not in variables:
        raise FormatError(path, f"has no variable 'joints', only {', '.join(variables) or 'none'}", field="joints")
    joints = np.asarray(variables["joints"])
    if joints.ndim == 2:  # loading drops the last axis of a single image
        joints = joints[..., None]
    by_shape = {(3, _COUNT): "lsp", (_COUNT, 3): "lspet"}.get(joints.shape[:2])
    if joints.ndim != 3 or joints.dtype.kind not in "iuf" or by_shape is None:
        raise FormatError(
            path,
            f"expected numbers of 3x14xN (LSP) or 14x3xN (LSPET), got {joints.dtype} {joints.shape}",
            field="joints",
        )
    if variant is None:
        folder = re.sub("[^a-z]", "", path.absolute().parent.name.lower())
        by_folder = "lspet" if "lspet" in folder or "lspext" in folder else "lsp" if "lsp" in folder else by_shape
        if by_folder != by_shape:
            problem = (
                f"the shape {joints.shape} is that of {by_shape}, the folder's name says {by_folder}; give variant="
            )
            raise FormatError(path, problem, field="joints")
        variant = by_shape
    _check_variant(path, variant)
    return joints.transpose((2, 1, 0) if by_shape == "lsp" else (2, 0, 1)).astype(np.float64), variant


def _digits(images: Path | None, variant: str) -> int:
    """How many digits image names have: as the folder has them, else as the data set was published."""
    if images is not None:
        for digits in _DIGITS.values():
            if (images / f"im{1:0{digits}d}.jpg").is_file():
                return digits
    return _DIGITS[variant]


def _person(path: Path, name: str, joints: np.ndarray, variant: str) -> Person:
    """One person of (14, 3) as the file has them."""
    flags = joints[:, 2]
    if not ((flags == 0) | (flags == 1)).all():
        bad = flags[(flags != 0) & (flags != 1)][0]
        raise FormatError(path, f"the third value of a joint must be 0 or 1, got {bad:g}", record=name, field="joints")
    visibility = np.where(flags == 1, 1, 2) if variant == "lsp" else np.where(flags == 1, 2, 0)
    if not np.isfinite(joints[visibility > 0]).all():
        k = int(np.flatnonzero((visibility > 0) & ~np.isfinite(joints).all(axis=1))[0])
        raise FormatError(path, f"'{LSP14.joints[k]}' has no finite position", record=name, field="joints")
    return Person(keypoints_px=joints[:, :2] - 1, visibility=visibility)
