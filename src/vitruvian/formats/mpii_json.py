"""MPII as JSON lists with one entry a person: the two layouts in use.

``joints_vis`` (github.com/microsoft/human-pose-estimation.pytorch, later HRNet): ``image``, ``joints`` [[x, y], ...],
``joints_vis``, ``center``, ``scale``; a joint without a label is [-1, -1]. There 1 means *labelled*, whether visible or
not (issue 7 of that repository), so all labelled joints are read as visible. Test entries have no joints.

``joint_self`` (the converters of convolutional pose machines and hourglasses, e.g. github.com/bearpaw/pytorch-pose,
miscs/gen_mpii.m): ``img_paths``, ``img_width``, ``img_height``, ``isValidation``, ``joint_self`` [[x, y, v], ...],
``objpos``, ``scale_provided``, ``annolist_index`` and ``people_index`` from 1. There v is 0 for hidden, 1 for visible,
2 for outside, and (0, 0) is no label. The neighbours repeated in ``joint_others`` are left to their own entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..types import Person, Record
from .fields import Fields, load_json, records_in
from .mpii_people import COUNT, ImageRow, center_and_scale_or_fail, finish, joints_1based, names_of, person_from
from .reading import Reading, ReadResult
from .writing import write_json

LAYOUTS = ("joints_vis", "joint_self")


def read_json(reading: Reading) -> ReadResult:
    """Read either layout, told apart by the first entry's fields; `mpii.read` says what comes out."""
    path = reading.path
    entries = records_in(path, load_json(path), "people, each with image and joints, or img_paths and joint_self")
    rows: dict[str, ImageRow] = {}
    for i, entry in enumerate(entries):
        fields = Fields(path, f"entry {i}", entry)
        if "img_paths" in fields:
            _add_joint_self(fields, rows)
        elif "image" in fields:
            _add_joints_vis(fields, rows)
        else:
            fields.fail("image", f"is missing, and so is 'img_paths'; the fields here are: {', '.join(fields.data)}")
    return finish(reading, list(rows.values()))


def write_json_list(records: Sequence[Record], path: Path, layout: str) -> Path:
    """Write one of the layouts; `mpii.write` says what is needed."""
    if layout not in LAYOUTS:
        raise FormatError(path, f"unknown layout '{layout}', expected one of {', '.join(LAYOUTS)}")
    entries = []
    for i, (name, record) in enumerate(zip(names_of(records, path), records, strict=True)):
        for p, person in enumerate(record.persons):
            center, scale = center_and_scale_or_fail(person, path, f"image {record.image_id}, person {p}")
            where = {"center": (center + 1).tolist(), "scale": scale}
            if layout == "joints_vis":
                joints = joints_1based(person, -1.0).tolist()
                flags = person.labelled.astype(int).tolist()
                entries.append({"joints_vis": flags, "joints": joints, "image": name, **where})
            else:
                entries.append(_joint_self_entry(name, i, p, record, person, where))
    return write_json(path, entries)


def _add_joints_vis(entry: Fields, rows: dict[str, ImageRow]) -> None:
    row = rows.setdefault(entry.text("image"), ImageRow(entry.text("image")))
    joints = entry.numbers("joints", (COUNT, 2), None)
    if joints is None:
        joints, labelled = np.zeros((COUNT, 2)), np.zeros(COUNT, dtype=bool)
    else:
        flags = entry.numbers("joints_vis", (COUNT,))
        if not ((flags == 0) | (flags == 1)).all():
            entry.fail("joints_vis", f"expected 0 or 1, got {flags[(flags != 0) & (flags != 1)][0]:g}")
        labelled = flags > 0
    center, scale = entry.numbers("center", (2,), None), entry.number("scale", None)
    row.people.append((str(entry.record), person_from(joints, np.where(labelled, 2, 0), center, scale)))


def _add_joint_self(entry: Fields, rows: dict[str, ImageRow]) -> None:
    name = entry.text("img_paths")
    width, height = entry.integer("img_width", None), entry.integer("img_height", None)
    row = rows.get(name)
    if row is None:
        row = rows[name] = ImageRow(name, (width, height) if width and height else None)
        row.extra["split"] = "valid" if entry.integer("isValidation", 0) else "train"
    triplets = entry.numbers("joint_self", (COUNT, 3))
    codes = triplets[:, 2]
    if not ((codes == 0) | (codes == 1) | (codes == 2)).all():
        entry.fail("joint_self", f"the third value must be 0, 1 or 2, got {codes[~np.isin(codes, (0, 1, 2))][0]:g}")
    placed = (triplets[:, :2] != 0).any(axis=1) & (codes < 2)
    visibility = np.where(placed, np.where(codes == 1, 2, 1), 0)
    index = entry.integer("people_index", None)
    center, scale = entry.numbers("objpos", (2,), None), entry.number("scale_provided", None)
    person = person_from(triplets[:, :2], visibility, center, scale, id=None if index is None else index - 1)
    row.people.append((str(entry.record), person))


def _joint_self_entry(
    name: str, image: int, place: int, record: Record, person: Person, where: dict[str, Any]
) -> dict[str, Any]:
    flags = (person.visibility == 2).astype(float)[:, None]
    entry: dict[str, Any] = {
        "dataset": "MPI",
        "isValidation": float(record.extra.get("split") == "valid"),
        "img_paths": name,
        "objpos": where["center"],
        "joint_self": np.concatenate([joints_1based(person, 0.0), flags], axis=1).tolist(),
        "scale_provided": where["scale"],
        "annolist_index": image + 1,
        "people_index": (person.id if isinstance(person.id, int) else place) + 1,
        "numOtherPeople": len(record.persons) - 1,
    }
    if record.size_wh is not None:
        entry |= {"img_width": record.size_wh[0], "img_height": record.size_wh[1]}
    return entry
