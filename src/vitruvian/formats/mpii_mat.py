"""MPII's official annotation file, ``mpii_human_pose_v1_u12_1.mat``.

Its structure, from the data set's README: ``RELEASE`` has ``annolist`` (one an image: ``image.name``, ``annorect``,
``frame_sec``, ``vididx``), ``img_train`` (1 for training images), ``single_person`` (which people stand apart, from 1),
``act`` (``cat_name``, ``act_name``, ``act_id``) and ``video_list``. A rectangle of ``annorect`` is one person: the head
``x1 y1 x2 y2``, ``annopoints.point`` (``x``, ``y``, ``id`` from 0, ``is_visible``), ``scale`` and ``objpos.x/y``.
Fields are missing or ``[]`` where nothing is known: ``is_visible`` for neck and head top (they are ends of the head's
rectangle; taken as visible), and all joints of test images. Some versions hold ``is_visible`` as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..types import Person, Record
from .fields import Fields, describe
from .matlab import as_list, cell_row, load_mat, save_mat, struct_array, struct_fields
from .mpii_people import COUNT, ImageRow, center_and_scale, finish, joints_1based, names_of, person_from
from .reading import Reading, ReadResult

_HEAD = ("x1", "y1", "x2", "y2")
_ACTIVITY = ("cat_name", "act_name", "act_id")


def read_mat(reading: Reading) -> ReadResult:
    """Read the official file; `mpii.read` says what comes out.

    ``Person.id`` is the person's place in ``annorect`` from 0. ``Record.extra`` has ``split``, and where known
    ``activity``, ``video``, ``frame_sec`` and ``single_person`` (ids of people that stand apart).
    """
    path = reading.path
    variables = load_mat(path, "reading MPII's official annotations")
    release = Fields(path, None, struct_fields(variables.get("RELEASE")) or {})
    if not release.data:
        raise FormatError(path, f"has no struct 'RELEASE', only {', '.join(variables) or 'nothing'}", field="RELEASE")
    annolist = as_list(release.value("annolist"))
    is_train = release.array("img_train", as_list(release.value("img_train")), (-1,))
    if len(is_train) != len(annolist):
        release.fail("img_train", f"has {len(is_train)} entries, but there are {len(annolist)} images in 'annolist'")
    videos = [str(name) for name in as_list(release.value("video_list", None))]
    activities = _parallel(release, "act", len(annolist))
    alone = _parallel(release, "single_person", len(annolist))
    rows = []
    for i, entry in enumerate(annolist):
        image = _fields(path, f"annolist({i + 1})", entry, "annolist")
        row = ImageRow(_fields(path, image.record, image.value("image"), "image").text("name"))
        row.extra["split"] = "train" if is_train[i] else "test"
        row.extra |= _about_image(image, activities[i], alone[i], videos)
        row.people = _people(image)
        rows.append(row)
    return finish(reading, rows)


def write_mat(records: Sequence[Record], path: Path) -> Path:
    """Write a file of the official structure; ``video_list`` holds the videos that ``extra["video"]`` names."""
    names = names_of(records, path)
    videos = sorted({record.extra["video"] for record in records if "video" in record.extra})
    annolist = []
    for name, record in zip(names, records, strict=True):
        people = [_annorect(person) for person in record.persons]
        video = record.extra.get("video")
        annolist.append(
            {
                "image": struct_array([{"name": name}], ("name",)),
                "annorect": struct_array(people, (*_HEAD, "annopoints", "scale", "objpos")) if people else None,
                "frame_sec": record.extra.get("frame_sec"),
                "vididx": None if video is None else float(videos.index(video) + 1),
            }
        )
    activities = [record.extra.get("activity", {}) for record in records]
    release = {
        "annolist": struct_array(annolist, ("image", "annorect", "frame_sec", "vididx")),
        "img_train": np.array([[record.extra.get("split", "train") == "train" for record in records]], dtype=np.uint8),
        "version": "12",
        "single_person": cell_row([np.asarray(r.extra.get("single_person", ()), float) + 1 for r in records]),
        "act": struct_array(activities, _ACTIVITY),
        "video_list": cell_row(videos),
    }
    return save_mat(path, {"RELEASE": release}, "writing MPII's official annotations")


# --- reading -------------------------------------------------------------------------------------------------------


def _fields(path: Path, record: object, value: Any, name: str) -> Fields:
    """The fields of a struct that must be one."""
    found = struct_fields(value)
    if found is None:
        raise FormatError(path, f"expected a struct, got {describe(value)}", record=record, field=name)
    return Fields(path, record, found)


def _parallel(release: Fields, name: str, count: int) -> list[Any]:
    """An optional list with one entry an image."""
    value = release.value(name, None)
    if value is None:
        return [None] * count
    entries = [value] if count == 1 else as_list(value)  # loading unwraps the list of a single image
    if len(entries) != count:
        release.fail(name, f"has {len(entries)} entries, but there are {count} images in 'annolist'")
    return entries


def _about_image(image: Fields, activity: Any, alone: Any, videos: Sequence[str]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    known = {k: v for k, v in (struct_fields(activity) or {}).items() if k in _ACTIVITY}
    if known:
        extra["activity"] = known
    place = image.integer("vididx", None)
    if place is not None and videos:
        if not 1 <= place <= len(videos):
            image.fail("vididx", f"refers to video {place}, but 'video_list' has {len(videos)}")
        extra["video"] = videos[place - 1]
    second = image.number("frame_sec", None)
    if second is not None:
        extra["frame_sec"] = second
    ids = [int(ridx) - 1 for ridx in as_list(alone) if np.size(ridx)]
    return extra | ({"single_person": ids} if ids else {})


def _people(image: Fields) -> list[tuple[str, Person]]:
    people = []
    for p, rectangle in enumerate(as_list(image.value("annorect", None))):
        row = _fields(image.path, f"{image.record}, annorect({p + 1})", rectangle, "annorect")
        joints, visibility = _joints(row)
        head = [row.number(name, None) for name in _HEAD]
        if any(h is None for h in head) and any(h is not None for h in head):
            row.fail(_HEAD[head.index(None)], "is missing, while other edges of the head are there")
        center = None
        if "objpos" in row:
            position = _fields(image.path, row.record, row.value("objpos"), "objpos")
            center = np.array([position.number("x"), position.number("y")])
        person = person_from(
            joints, visibility, center, row.number("scale", None), None if None in head else np.array(head), p
        )
        people.append((f"person {p}", person))
    return people


def _joints(row: Fields) -> tuple[np.ndarray, np.ndarray]:
    """(16, 2) joints in the file's pixels and (16,) visibility of one rectangle."""
    joints, visibility = np.zeros((COUNT, 2)), np.zeros(COUNT, dtype=np.int8)
    if "annopoints" not in row:
        return joints, visibility
    # Some rectangles of the official file have annopoints without point.
    points = _fields(row.path, row.record, row.value("annopoints"), "annopoints").value("point", None)
    for j, entry in enumerate(as_list(points)):
        point = _fields(row.path, f"{row.record}, point({j + 1})", entry, "point")
        k = point.integer("id")
        if not 0 <= k < COUNT:
            point.fail("id", f"expected a joint from 0 to {COUNT - 1}, got {k}")
        if visibility[k]:
            point.fail("id", f"joint {k} comes twice")
        joints[k] = point.number("x"), point.number("y")
        visibility[k] = 2 if _is_visible(point) else 1
    return joints, visibility


def _is_visible(point: Fields) -> bool:
    found = point.value("is_visible", 1)
    if isinstance(found, str) and found in ("0", "1"):
        return found == "1"
    if isinstance(found, str) or found not in (0, 1):
        point.fail("is_visible", f"expected 0 or 1, got {describe(found)}")
    return bool(found)


# --- writing -------------------------------------------------------------------------------------------------------


def _annorect(person: Person) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if person.head_box_xyxy is not None:
        row |= dict(zip(_HEAD, (np.asarray(person.head_box_xyxy) + 1).tolist(), strict=True))
    if person.labelled.any():
        joints = joints_1based(person, 0.0)
        points = [
            {"x": joints[k, 0], "y": joints[k, 1], "id": float(k), "is_visible": np.uint8(person.visibility[k] == 2)}
            for k in np.flatnonzero(person.labelled)
        ]
        row["annopoints"] = struct_array([{"point": struct_array(points, ("x", "y", "id", "is_visible"))}], ("point",))
    place = center_and_scale(person)
    if place is not None:
        center, scale = place
        row["scale"] = scale
        row["objpos"] = struct_array([{"x": center[0] + 1, "y": center[1] + 1}], ("x", "y"))
    return row
