"""MPII as the arrays of the stacked hourglass (Newell et al., ECCV 2016; github.com/princeton-vl/pose-hg-train).

One row a person: ``imgname``, ``part`` (16, 2), ``visible`` (16), ``center`` (2), ``scale``, ``normalize`` (0.6 x the
head rectangle's diagonal), ``torsoangle`` (degrees), ``index`` (of the image) and ``person`` (in it), both from 0.
Joints were cut to whole pixels of MATLAB's; (0, 0) is no label, (-1, -1) a person without any. ``visible`` is 0 for
hidden joints and for those without a label.

In ``train.h5`` and ``valid.h5`` the centre is already moved down by 15 x scale and the scale multiplied by 1.25; the
later ``annot.h5``, with ``istrain`` and names as character codes, leaves that to its program. Reading undoes it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..extras import need
from ..geometry import boxes
from ..types import Person, Record
from .mpii_people import COUNT, ImageRow, center_and_scale_or_fail, finish, joints_1based, names_of, person_from
from .reading import Reading, ReadResult
from .writing import atomic_path

_GROWN, _DOWN = 1.25, 15.0  # what the converter does to scale and centre
_HEAD_FACTOR = 0.6
_PELVIS, _THORAX = 6, 7
_SHAPES = {"part": (COUNT, 2), "visible": (COUNT,), "center": (2,), "scale": ()}
_OPTIONAL = {"normalize": (), "torsoangle": (), "index": (), "person": (), "istrain": ()}


def read_h5(reading: Reading) -> ReadResult:
    """Read the arrays; `mpii.read` says what comes out.

    ``Person.id`` is ``person``; ``Person.extra`` has ``normalize`` and ``torsoangle``, which stand in for the head box
    that this layout has lost.
    """
    path = reading.path
    columns = _load(path)
    names = columns["imgname"]
    published = "istrain" in columns
    rows: dict[str, ImageRow] = {}
    for i, name in enumerate(names):
        row = rows.setdefault(name, ImageRow(name))
        if published:
            row.extra["split"] = "train" if columns["istrain"][i] else "test"
        part, visible = columns["part"][i], columns["visible"][i]
        if not np.isin(visible, (-1, 0, 1)).all():
            raise FormatError(path, f"expected 0 or 1, got {visible.tolist()}", record=f"row {i}", field="visible")
        placed = (part != 0).any(axis=1) & (visible >= 0)
        scale, center = float(columns["scale"][i]), columns["center"][i]
        if not published and scale > 0:
            scale /= _GROWN
            center = center - [0, _DOWN * scale]
        extra = {key: float(columns[key][i]) for key in ("normalize", "torsoangle") if key in columns}
        person = person_from(
            part,
            np.where(placed, np.where(visible == 1, 2, 1), 0),
            center if scale > 0 else None,
            scale,
            id=int(columns["person"][i]) if "person" in columns else None,
            extra=extra,
        )
        row.people.append((f"row {i}", person))
    return finish(reading, list(rows.values()))


def write_h5(records: Sequence[Record], path: Path) -> Path:
    """Write the arrays of ``train.h5``; joints are cut to whole pixels, as there."""
    h5py = need("h5py", "data", "writing MPII's h5")
    names = names_of(records, path)
    people = [(i, p, person) for i, record in enumerate(records) for p, person in enumerate(record.persons)]
    places = [
        center_and_scale_or_fail(person, path, f"image {records[i].image_id}, person {p}") for i, p, person in people
    ]
    # Rounded before it is cut: 41 - 1 + 1 need not be 41 exactly.
    parts = np.array([np.trunc(np.round(joints_1based(person, 0.0), 6)) for _, _, person in people]).reshape(
        -1, COUNT, 2
    )
    columns = {
        "index": np.array([i for i, _, _ in people], dtype=np.float64),
        "person": np.array([person.id if isinstance(person.id, int) else p for _, p, person in people], np.float64),
        "imgname": np.array([names[i].encode() for i, _, _ in people], dtype=bytes),
        "center": np.array([c + 1 + [0, _DOWN * s] for c, s in places]).reshape(-1, 2),
        "scale": np.array([s * _GROWN for _, s in places]),
        "part": parts,
        "visible": np.array([person.visibility == 2 for _, _, person in people], dtype=np.float64).reshape(-1, COUNT),
        "normalize": np.array([_normalize(person) for _, _, person in people]),
        "torsoangle": np.array([_torso_angle(part) for part in parts]),
    }
    with atomic_path(path) as temporary, h5py.File(os.fspath(temporary), "w") as file:
        file.attrs["name"] = "mpii"
        for key, column in columns.items():
            file[key] = column
    return path


def _load(path: Path) -> dict[str, Any]:
    """The file's columns, checked: ``imgname`` as a list of text, the rest as float64 arrays."""
    h5py = need("h5py", "data", "reading MPII's h5")
    if not path.is_file():
        raise FormatError(path, "no such file")
    try:
        with h5py.File(os.fspath(path), "r") as file:
            found = {key: file[key][()] for key in ("imgname", *_SHAPES, *_OPTIONAL) if key in file}
            present = ", ".join(file) or "none"
    except Exception as error:  # h5py meets damaged files with several kinds of exceptions
        raise FormatError(path, f"cannot be read as HDF5, is it truncated? ({error})") from error
    for key in ("imgname", *_SHAPES):
        if key not in found:
            raise FormatError(path, f"is missing; the arrays here are: {present}", field=key)
    names = [_text(path, i, name) for i, name in enumerate(np.asarray(found.pop("imgname")))]
    columns: dict[str, Any] = {}
    for key, value in found.items():
        array, inner = np.asarray(value), (_SHAPES | _OPTIONAL)[key]
        if array.dtype.kind not in "iufb" or array.shape != (len(names), *inner):
            problem = f"expected numbers of shape {(len(names), *inner)}, got {array.dtype} {array.shape}"
            raise FormatError(path, problem, field=key)
        columns[key] = array.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(columns[key].reshape(len(names), -1)).all(axis=1))
        if len(bad) and key in _SHAPES:
            raise FormatError(path, "expected finite numbers", record=f"row {bad[0]}", field=key)
    return {"imgname": names, **columns}


def _text(path: Path, row: int, name: Any) -> str:
    """An image's name from bytes, text, or character codes that end in zeros."""
    try:
        if isinstance(name, np.ndarray):
            name = bytes(int(code) for code in name.ravel())
        text = name.decode() if isinstance(name, bytes) else str(name)
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(path, f"is not text: {error}", record=f"row {row}", field="imgname") from error
    text = text.split("\0")[0]
    if not text:
        raise FormatError(path, "is empty", record=f"row {row}", field="imgname")
    return text


def _normalize(person: Person) -> float:
    """0.6 x the head's diagonal; what the record carries where it has no head box; -1 where nothing is known."""
    if person.head_box_xyxy is None:
        return float(person.extra.get("normalize", -1.0))
    width, height = boxes.xyxy_to_xywh(person.head_box_xyxy)[2:]
    return _HEAD_FACTOR * float(np.hypot(width, height))


def _torso_angle(part: np.ndarray) -> float:
    """Degrees from pelvis to thorax, 0 for upright; 0 where one of them has no label."""
    if part[_PELVIS, 0] == 0 or part[_THORAX, 0] == 0:
        return 0.0
    dx, dy = part[_THORAX] - part[_PELVIS]
    return float(90 + np.degrees(np.arctan2(dy, dx)))
