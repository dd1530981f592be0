"""Annotation files to lists of `Record` and back, and results to files. No image is decoded here.

``read("coco", path)`` gives a `ReadResult`: the records, and a report of what was skipped and why (`reading` states the
policy). ``write("yolo", records, path)`` is the other direction. A format with fixed joints wants its own skeleton:
``write("mpii", remap(records, MPII16), path)``.

Adding a format:
1. write ``formats/<name>.py`` with ``read(path, images=None, *, keep_unlabelled=False, tolerance_px=1.0, ...)`` and
   ``write(records, path, ...)``: take values out with `fields.Fields`, and let `reading.Reading` find the images and
   decide who stays;
2. add it to `FORMATS` below, with the name of a file (or folder) that ``write`` can make;
3. add ``tests/formats/test_<name>.py``. The conformance suite does round trips and broken files by itself.

Adding a kind of result file: write a function ``(poses, folder, names=, image_ids=) -> files`` and add it to
`RESULT_WRITERS`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..types import Poses, Record
from . import coco, lsp, mpii, openpose, tables, yolo
from .coco_results import ids_of
from .joints import remap
from .reading import REASONS, ReadReport, ReadResult, Skip

_ANNOTATIONS = (".json", ".mat", ".h5", ".hdf5", ".yaml", ".yml")
_NAMED = 6  # files that an error lists

__all__ = [
    "FORMATS", "REASONS", "RESULT_WRITERS", "Format", "ReadReport", "ReadResult", "Skip", "ids_of", "read", "remap",
    "write",
]  # fmt: skip


@dataclass(frozen=True)
class Format:
    """One annotation format.

    Attributes
    ----------
    read, write : the functions of its module.
    file_name : what ``write`` makes in a folder, by default: a file name, or ``"."`` for the folder itself.
    skeleton : the name of the skeleton it is bound to, or None where any will do.
    about : one line for ``vitruvian data``.
    """

    read: Callable[..., ReadResult]
    write: Callable[..., Path]
    file_name: str
    skeleton: str | None
    about: str


FORMATS: dict[str, Format] = {
    "coco": Format(
        coco.read, coco.write, "annotations.json", None, "COCO person keypoints JSON, any joints, with masks"
    ),
    "lsp": Format(lsp.read, lsp.write, "joints.mat", "lsp14", "Leeds Sports Pose and its extension, joints.mat"),
    "mpii": Format(mpii.read, mpii.write, "mpii.json", "mpii16", "MPII Human Pose: official .mat, two JSON lists, .h5"),
    "openpose": Format(openpose.read, openpose.write, ".", "body25", "OpenPose JSON, one file an image, BODY_25"),
    "yolo": Format(yolo.read, yolo.write, ".", None, "YOLO-pose text files with a YAML file"),
}


def read(name: str, path: str | os.PathLike, images: str | os.PathLike | None = None, **options: Any) -> ReadResult:
    """Read annotations: records, and the report of what was skipped.

    Parameters
    ----------
    name : a key of `FORMATS`.
    path : the annotation file or folder.
    images : the folder of the images; None takes ``images/`` beside the file where it exists.
    options : those of the format's ``read``, e.g. ``keep_unlabelled=True``.

    Raises
    ------
    FormatError
        An unknown format, or a malformed file: the message names the file, the record and the field. Where a file is
        wanted and ``path`` is a folder, it names those inside that may be meant.
    """
    try:
        return _format(name, path).read(path, images, **options)
    except FormatError as error:
        if Path(path).is_dir() and not Path(str(error.path)).is_file():
            raise FormatError(error.path, f"{error.problem}; {_candidates(Path(path))}") from error
        raise


def write(name: str, records: Iterable[Record], path: str | os.PathLike, **options: Any) -> Path:
    """Write records in a format of `FORMATS`; returns what was written.

    Raises `FormatError` for an unknown format, or records that the format cannot hold.
    """
    return _format(name, path).write(records, path, **options)


def _format(name: str, path: object) -> Format:
    if name not in FORMATS:
        nearest = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean '{nearest[0]}'? " if nearest else ""
        raise FormatError(path, f"cannot be read as '{name}', an unknown format; {hint}Known: {', '.join(FORMATS)}")
    return FORMATS[name]


def _candidates(folder: Path) -> str:
    """The files in a folder, and one level further down, that may be annotations."""
    files = [path for level in ("*", "*/*") for path in folder.glob(level) if path.suffix.lower() in _ANNOTATIONS]
    names = sorted(path.relative_to(folder).as_posix() for path in files if not path.name.startswith("."))
    if not names:
        return f"it has no {', '.join(_ANNOTATIONS)} inside"
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"did you mean one of those inside: {', '.join(names[:_NAMED])}{more}?"


# --- results -------------------------------------------------------------------------------------------------------


def _write_coco(
    poses: Sequence[Poses], folder: str | os.PathLike, image_ids: Sequence[int | str] | None = None, **_: Any
) -> list[Path]:
    return [coco.write_results(poses, Path(folder) / "keypoints.json", image_ids)]


def _write_openpose(
    poses: Sequence[Poses], folder: str | os.PathLike, names: Sequence[str] | None = None, **_: Any
) -> list[Path]:
    return openpose.write_poses(poses, folder, names)


def _write_csv(poses: Sequence[Poses], folder: str | os.PathLike, **_: Any) -> list[Path]:
    return [tables.write_csv(poses, Path(folder) / "keypoints.csv")]


def _write_parquet(poses: Sequence[Poses], folder: str | os.PathLike, **_: Any) -> list[Path]:
    return [tables.write_parquet(poses, Path(folder) / "keypoints.parquet")]


RESULT_WRITERS: dict[str, Callable[..., list[Path]]] = {
    "coco": _write_coco,
    "openpose": _write_openpose,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
"""What ``vitruvian predict --format`` can write: each takes the poses of all images and a folder, makes the folder if
needed, writes each file completely or not at all, and returns the files. ``names`` and ``image_ids``, one an image, are
what files and results call the images where their paths alone do not say."""
