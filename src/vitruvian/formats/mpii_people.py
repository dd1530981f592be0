"""What the layouts of MPII share: people in MATLAB's pixels, their scale and centre, and images with several people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..skeletons import MPII16
from ..types import Person, Record
from .joints import require_skeleton
from .reading import Reading, ReadResult

COUNT = len(MPII16)
_PIXELS = 200.0  # a scale of 1 is a person this high
_DOWN = 15.0  # pixels a unit of scale that the hourglass moves the centre down


@dataclass
class ImageRow:
    """One image of a file while it is read: people still in the file's pixels."""

    name: str
    size_wh: tuple[int, int] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    people: list[tuple[str, Person]] = field(default_factory=list)


def person_from(
    joints_1based: np.ndarray,
    visibility: np.ndarray,
    center_1based: np.ndarray | None,
    scale: float | None,
    head_1based: np.ndarray | None = None,
    id: int | None = None,
    extra: dict[str, Any] | None = None,
) -> Person:
    """A person of 16 joints, centre and head box in MATLAB's pixels, moved to pixels from 0."""
    extra, box = dict(extra or {}), None
    if scale is not None and scale > 0:
        extra["scale"] = float(scale)
    if center_1based is not None:
        extra["center"] = [float(c) - 1 for c in center_1based]
    if "scale" in extra and "center" in extra:
        box = crop_box(np.array(extra["center"]), extra["scale"])
    return Person(
        keypoints_px=np.asarray(joints_1based, dtype=np.float64) - 1,
        visibility=visibility,
        box_xyxy=box,
        head_box_xyxy=None if head_1based is None else np.asarray(head_1based, dtype=np.float64) - 1,
        id=id,
        extra=extra,
    )


def crop_box(center_px: np.ndarray, scale: float) -> np.ndarray:
    """(4,) xyxy: the square that MPII's results crop, before padding (see `mpii`)."""
    half = _PIXELS * scale / 2
    x, y = float(center_px[0]), float(center_px[1]) + _DOWN * scale
    return np.array([x - half, y - half, x + half, y + half])


def center_and_scale(person: Person) -> tuple[np.ndarray, float] | None:
    """(2,) centre in pixels from 0 and scale of a person to write; None where neither they nor a box are known.

    Made from a box, they are those whose `crop_box` is the smallest square about it.
    """
    if "center" in person.extra and "scale" in person.extra:
        return np.asarray(person.extra["center"], dtype=np.float64), float(person.extra["scale"])
    if person.box_xyxy is None:
        return None
    x0, y0, x1, y1 = (float(v) for v in person.box_xyxy)
    scale = max(x1 - x0, y1 - y0) / _PIXELS
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2 - _DOWN * scale]), scale


def center_and_scale_or_fail(person: Person, path: Path, where: str) -> tuple[np.ndarray, float]:
    """`center_and_scale` for layouts that cannot do without."""
    found = center_and_scale(person)
    if found is None:
        raise FormatError(path, "has neither scale and center nor a box, and this layout needs them", record=where)
    return found


def joints_1based(person: Person, missing: float) -> np.ndarray:
    """(16, 2) joints in MATLAB's pixels, ``missing`` where not labelled."""
    return np.where(person.labelled[:, None], person.keypoints_px + 1, missing)


def finish(reading: Reading, rows: Sequence[ImageRow]) -> ReadResult:
    """Records of images and their people, after the reader's policy."""
    records = []
    for row in rows:
        found = reading.find_image(row.name, f"image {row.name}", len(row.people))
        if found is None:
            continue
        size_wh = row.size_wh or found.size_wh
        kept = [reading.keep(person, f"image {row.name}, {where}", size_wh) for where, person in row.people]
        persons = tuple(person for person in kept if person is not None)
        records.append(Record(found.path, Path(row.name).stem, size_wh, MPII16, persons, "mpii", row.extra))
    return reading.result(records)


def names_of(records: Sequence[Record], path: Path) -> list[str]:
    """The image names to write; `FormatError` for other joints or a record without a name."""
    require_skeleton(records, MPII16, path)
    for record in records:
        if record.image_path is None:
            raise FormatError(path, "has no image path, and MPII needs the name", record=f"image {record.image_id}")
    return [record.image_path.name for record in records if record.image_path is not None]
