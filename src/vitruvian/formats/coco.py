"""COCO keypoint annotations of any skeleton, with boxes and masks (cocodataset.org, "Data format").

Joints are in pixels with centres at integers, as COCO's annotators clicked them; boxes are x, y, width, height and
become their edges without any shift. Joint names come from the file's category, so a file of one's own needs no code.
Detection and keypoint *results* (lists instead of a dictionary) are in `coco_results` and usable from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, SkeletonError
from ..geometry import boxes
from ..skeletons import Skeleton
from ..types import Person, Record
from .coco_results import detections_of, read_detections, read_results, write_results
from .fields import Fields, describe, load_json
from .joints import require_skeleton, skeleton_from_names
from .reading import OTHER_CATEGORY, Reading, ReadResult
from .writing import write_json

__all__ = ["detections_of", "read", "read_detections", "read_results", "write", "write_results"]

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_PERSON_FIELDS = (
    "id", "image_id", "category_id", "keypoints", "num_keypoints", "bbox", "area", "segmentation", "iscrowd",
    "head_box_xyxy",
)  # fmt: skip


@dataclass(frozen=True)
class _Category:
    id: int | str
    skeleton: Skeleton


def read(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    category: str | None = None,
    skeleton: Skeleton | None = None,
    keep_unlabelled: bool = False,
    tolerance_px: float = 1.0,
) -> ReadResult:
    """Read a COCO keypoint annotation file.

    Parameters
    ----------
    path : the JSON file (``images``, ``annotations``, ``categories``).
    images : the folder that ``file_name`` starts from; None takes ``images/`` beside the file where it exists, and
        otherwise leaves the names as they are and does not check them.
    category : the category to read, by name; None takes the one named ``person``, or the only one with keypoints.
        Annotations of other categories are listed as skipped.
    skeleton : the joints, for a file whose category does not name them; None requires the names in the file.
    keep_unlabelled : keep people without joints that have a box or a mask. COCO's own metrics need it.
    tolerance_px : how far outside the image a joint may be; see `reading`.

    Returns
    -------
    Records in the order of ``images``, those without people included. Fields of the file that are not COCO's stay in
    ``extra``. Crowd regions (``iscrowd``) are kept, with or without joints.

    Raises
    ------
    FormatError
        Not JSON, a key missing, a value of the wrong kind or length, ids that refer to nothing or come twice.
    """
    data = load_json(path)
    if isinstance(data, list):
        raise FormatError(
            path, "is a list, so it holds results; expected annotations. Use coco.read_detections or read_results"
        )
    top = Fields(path, None, data)
    reading = Reading("coco", path, images, keep_unlabelled=keep_unlabelled, tolerance_px=tolerance_px)
    categories = [Fields(path, f"category {i}", c) for i, c in enumerate(top.items("categories"))]
    chosen = _choose_category(path, categories, category, skeleton)
    image_rows = [Fields(path, f"image {i}", row) for i, row in enumerate(top.items("images"))]
    rows_of = _group_annotations(top, image_rows, categories, chosen.id, reading)
    records = []
    for image in image_rows:
        record = _read_image(image, rows_of[image.identifier("id")], chosen.skeleton, reading)
        if record is not None:
            records.append(record)
    return reading.result(records)


def write(
    records: Iterable[Record],
    path: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    category: str = "person",
) -> Path:
    """Write records of one skeleton as a COCO annotation file, atomically; `read` gives them back.

    Parameters
    ----------
    records : all with the same joints; image ids must be unique.
    path : the JSON file.
    images : the folder that the written ``file_name`` starts from; None takes ``images/`` beside the file. An image
        elsewhere is written by its name alone if its path is absolute, and as it is if it is relative.
    category : the name of the category.

    Raises
    ------
    FormatError
        Records of several skeletons, or an image id that comes twice.
    """
    records, path = list(records), Path(path)
    skeleton = require_skeleton(records, None, path)
    base = Path(images) if images is not None else path.parent / "images"
    image_rows, rows = [], []
    seen: set[int | str] = set()
    # A person keeps its id unless another has it already: formats such as MPII count people anew in every image.
    used = {p.id for r in records for p in r.persons if p.id is not None}
    given: set[int | str] = set()
    fresh = (i for i in count(1) if i not in used)
    for record in records:
        if record.image_id in seen:
            raise FormatError(
                path, "comes twice; image ids must be unique", record=f"image {record.image_id}", field="id"
            )
        seen.add(record.image_id)
        image_rows.append(_image_row(record, base))
        for person in record.persons:
            annotation_id = next(fresh) if person.id is None or person.id in given else person.id
            given.add(annotation_id)
            rows.append(_annotation_row(person, annotation_id, record.image_id))
    categories = [
        {
            "id": 1,
            "name": category,
            "supercategory": category,
            "keypoints": list(skeleton.joints),
            "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
        }
    ]
    return write_json(
        path, {"info": {}, "licenses": [], "images": image_rows, "annotations": rows, "categories": categories}
    )


# --- reading -------------------------------------------------------------------------------------------------------


def _choose_category(path: Any, rows: Sequence[Fields], name: str | None, skeleton: Skeleton | None) -> _Category:
    """The category whose annotations are people, with its skeleton."""
    with_joints = [row for row in rows if "keypoints" in row]
    names = [row.value("name", None) for row in rows]
    if name is not None:
        matching = [row for row in rows if row.value("name", None) == name]
    else:
        matching = [row for row in rows if row.value("name", None) == "person"]
        matching = matching or (with_joints if skeleton is None else list(rows))
    if len(matching) != 1:
        wanted = f"one named '{name or 'person'}'"
        problem = (
            f"expected {wanted}{'' if name else ' or exactly one with keypoints'}, got {names}; choose with category="
        )
        raise FormatError(path, problem, field="categories")
    row = matching[0]
    category_id = row.identifier("id")
    if skeleton is not None:
        return _Category(category_id, skeleton)
    if "keypoints" not in row:
        row.fail("keypoints", "is missing: the file names no joints; give them with skeleton=")
    joints = row.items("keypoints")
    if not joints or not all(isinstance(j, str) and j for j in joints):
        row.fail("keypoints", f"expected a list of joint names, got {describe(joints)}")
    edges = row.integers("skeleton", (-1, 2)) - 1 if row.value("skeleton", []) != [] else np.zeros((0, 2), int)
    try:
        return _Category(category_id, skeleton_from_names(joints, edges.tolist(), str(row.value("name", "custom"))))
    except SkeletonError as error:
        row.fail("skeleton" if "edge" in str(error) else "keypoints", str(error), error)


def _group_annotations(
    top: Fields, image_rows: Sequence[Fields], categories: Sequence[Fields], chosen: int | str, reading: Reading
) -> dict[int | str, list[Fields]]:
    """The annotations of the chosen category by image id; those of others are listed as skipped, once a category."""
    rows_of: dict[int | str, list[Fields]] = {}
    for image in image_rows:
        image_id = image.identifier("id")
        if image_id in rows_of:
            image.fail("id", f"{image_id!r} comes twice; ids must be unique")
        rows_of[image_id] = []
    counts = {c.identifier("id"): 0 for c in categories}
    for i, row in enumerate(top.items("annotations")):
        annotation = Fields(top.path, f"annotation {i}", row)
        annotation_id = annotation.identifier("id", None)
        if annotation_id is not None:
            annotation.record = f"annotation {annotation_id}"
        image_id = annotation.identifier("image_id")
        if image_id not in rows_of:
            annotation.fail("image_id", f"refers to image {image_id!r}, which is not in 'images'")
        category_id = annotation.identifier("category_id")
        if category_id not in counts:
            annotation.fail("category_id", f"refers to category {category_id!r}, which is not in 'categories'")
        counts[category_id] += 1
        if category_id == chosen:
            rows_of[image_id].append(annotation)
    for category in categories:
        category_id = category.identifier("id")
        if category_id != chosen and counts[category_id]:
            name = category.value("name", "no name")
            reading.skip(OTHER_CATEGORY, "annotation", f"category {category_id} ({name})", count=counts[category_id])
    return rows_of


def _read_image(image: Fields, rows: Sequence[Fields], skeleton: Skeleton, reading: Reading) -> Record | None:
    image_id, name = image.identifier("id"), image.text("file_name", None)
    width, height = image.integer("width", None), image.integer("height", None)
    for field, value in (("width", width), ("height", height)):
        if value is not None and value <= 0:
            image.fail(field, f"expected a positive number of pixels, got {value}")
    size_wh = (width, height) if width is not None and height is not None else None
    where = f"image {image_id}" + (f" ({name})" if name else "")
    found = reading.find_image(name, where, len(rows))
    if found is None:
        return None
    persons = []
    for row in rows:
        person = reading.keep(_read_person(row, skeleton), f"{where}, {row.record}", size_wh)
        if person is not None:
            persons.append(person)
    extra = image.rest(*_IMAGE_FIELDS)
    return Record(found.path, image_id, size_wh, skeleton, tuple(persons), str(reading.path.name), extra)


def _read_person(row: Fields, skeleton: Skeleton) -> Person:
    count = len(skeleton)
    triplets = row.numbers("keypoints", (count * 3,), None)
    triplets = np.zeros((count, 3)) if triplets is None else triplets.reshape(count, 3)
    codes = triplets[:, 2]
    known = (codes == 0) | (codes == 1) | (codes == 2)
    if not known.all():
        bad = int(np.argmin(known))
        row.fail("keypoints", f"visibility must be 0, 1 or 2, got {codes[bad]:g} for '{skeleton.joints[bad]}'")
    box = row.numbers("bbox", (4,), None)
    if box is not None and (box[2:] < 0).any():
        row.fail("bbox", f"expected x, y, width, height with sizes >= 0, got {box.tolist()}")
    crowd = row.integer("iscrowd", 0)
    if crowd not in (0, 1):
        row.fail("iscrowd", f"expected 0 or 1, got {crowd}")
    return Person(
        keypoints_px=triplets[:, :2],
        visibility=codes,
        box_xyxy=None if box is None else boxes.xywh_to_xyxy(box),
        area_px=row.number("area", None),
        segmentation=_segmentation(row),
        head_box_xyxy=row.numbers("head_box_xyxy", (4,), None),
        is_crowd=bool(crowd),
        id=row.identifier("id", None),
        extra=row.rest(*_PERSON_FIELDS),
    )


def _segmentation(row: Fields) -> Any:
    """Polygons or run lengths whose form has been checked; None where there is none, or an empty list."""
    found = row.value("segmentation", None)
    if found is None or found == []:
        return None
    if isinstance(found, dict):
        rle = Fields(row.path, f"{row.record}, segmentation", found)
        rle.integers("size", (2,))
        if not isinstance(rle.value("counts"), str):
            rle.integers("counts", (-1,))
        return found
    if not isinstance(found, list):
        row.fail("segmentation", f"expected a list of polygons or run lengths, got {describe(found)}")
    for i, polygon in enumerate(found):
        numbers = row.array("segmentation", polygon, (-1,))
        if numbers.size < 6 or numbers.size % 2:
            row.fail("segmentation", f"polygon {i} has {numbers.size} numbers, expected x, y of three or more corners")
    return found


# --- writing -------------------------------------------------------------------------------------------------------


def _image_row(record: Record, base: Path) -> dict[str, Any]:
    row: dict[str, Any] = {k: v for k, v in record.extra.items() if k not in _IMAGE_FIELDS}
    row["id"] = record.image_id
    if record.image_path is not None:
        image = record.image_path
        if image.is_relative_to(base):
            image = image.relative_to(base)
        row["file_name"] = image.name if image.is_absolute() else image.as_posix()
    if record.size_wh is not None:
        row["width"], row["height"] = (int(n) for n in record.size_wh)
    return row


def _annotation_row(person: Person, annotation_id: int | str, image_id: int | str) -> dict[str, Any]:
    row: dict[str, Any] = {k: v for k, v in person.extra.items() if k not in _PERSON_FIELDS}
    keypoints = np.where(person.labelled[:, None], person.keypoints_px, 0.0)
    triplets = [[x, y, int(v)] for (x, y), v in zip(keypoints.tolist(), person.visibility, strict=True)]
    row |= {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": int(person.is_crowd),
        "num_keypoints": int(person.labelled.sum()),
        "keypoints": [value for triplet in triplets for value in triplet],
    }
    if person.box_xyxy is not None:
        row["bbox"] = boxes.xyxy_to_xywh(person.box_xyxy).tolist()
    if person.area_px is not None:
        row["area"] = float(person.area_px)
    if person.segmentation is not None:
        row["segmentation"] = person.segmentation
    if person.head_box_xyxy is not None:
        row["head_box_xyxy"] = np.asarray(person.head_box_xyxy).tolist()
    return row
