"""COCO *results*: person detections (boxes) and keypoint results, as detectors and pose estimators write them.

Both are JSON lists with one entry a person (cocodataset.org, "Results format"). Use them through ``formats.coco``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..geometry import boxes
from ..skeletons import Skeleton
from ..types import PRESENT_ABOVE, Poses, Record
from . import rle
from .fields import Fields, load_json, records_in
from .writing import unique_names, write_json

Detections = dict[int | str, tuple[np.ndarray, np.ndarray]]
"""For each image id of a file: boxes (N, 4) float64 xyxy in pixels, and scores (N,) float64 in [0, 1]."""


def read_detections(path: str | os.PathLike, *, category_id: int = 1) -> Detections:
    """Read boxes found by a detector, for ``--boxes``.

    Parameters
    ----------
    path : a JSON list of ``{image_id, category_id, bbox: [x, y, width, height], score}``.
    category_id : entries of other categories are dropped (COCO's 1 is ``person``); one without a category is kept.

    Returns
    -------
    ``{image_id: (boxes_xyxy, scores)}`` in the file's order; ids as they are in the file, numbers or text. An image
    whose entries are all of other categories is there with no boxes. `detections_of` finds an image's entry.

    Raises
    ------
    FormatError
        Not such a list, a negative size, or a score outside [0, 1].
    """
    found: dict[int | str, list[tuple[np.ndarray, float]]] = {}
    for row in _rows(path, "detections {image_id, category_id, bbox, score}"):
        image_id = row.identifier("image_id")
        entries = found.setdefault(image_id, [])
        if row.identifier("category_id", category_id) != category_id:
            continue
        box = row.numbers("bbox", (4,))
        if (box[2:] < 0).any():
            row.fail("bbox", f"expected x, y, width, height with sizes >= 0, got {box.tolist()}")
        entries.append((boxes.xywh_to_xyxy(box), _score(row, "score")))
    return {
        image_id: (np.array([b for b, _ in entries]).reshape(-1, 4), np.array([s for _, s in entries]))
        for image_id, entries in found.items()
    }


def detections_of(
    detections: Detections, image: str | os.PathLike, file_names: Mapping[int | str, str] | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """The boxes and scores of one image, or None where the detections do not mention it.

    Detectors call the same image by several names, so these are tried in turn: the path as given, the file name, the
    stem (``"000000000036"``), the whole number the stem spells (36, COCO's own ids).

    Parameters
    ----------
    detections : what `read_detections` gave.
    image : the image's path.
    file_names : ``{image_id: file_name}`` of an annotation file, where ids are neither names nor spelt in names;
        tried first.
    """
    key = key_of(detections, image, file_names)
    return None if key is None else detections[key]


def key_of(
    detections: Mapping[int | str, Any], image: str | os.PathLike, file_names: Mapping[int | str, str] | None = None
) -> int | str | None:
    """What ``detections`` call an image, as `detections_of` finds it; None where they do not mention it."""
    image = Path(image)
    for image_id, name in (file_names or {}).items():
        if Path(name).name == image.name and image_id in detections:
            return image_id
    names: list[int | str] = [str(image), image.as_posix(), image.name, image.stem]
    if image.stem.isdecimal():
        names += [int(image.stem), str(int(image.stem))]
    return next((name for name in names if name in detections), None)


def read_results(
    path: str | os.PathLike,
    skeleton: Skeleton,
    *,
    records: Iterable[Record] = (),
    clip_scores: bool = False,
) -> dict[int | str, Poses]:
    """Read keypoint results, this project's or another's.

    Parameters
    ----------
    path : a JSON list of ``{image_id, category_id, keypoints: [x, y, score, ...], score, bbox?}``.
    skeleton : what the keypoints are; results do not say.
    records : the annotated images, which tell path and size. Of an image that is not among them, the size is the
        smallest that holds its joints and boxes.
    clip_scores : cut scores to [0, 1]. Some tools write raw heatmap values; by default these are an error.

    Returns
    -------
    ``{image_id: Poses}``. A joint at (0, 0) with score 0 is missing (NaN). ``box_scores`` are what makes
    ``person_scores`` the file's ``score``, as far as a factor in [0, 1] can; a person without ``bbox`` gets the box
    around the joints. ``presence`` where the file has it of everybody in the image.

    Raises
    ------
    FormatError
        Not such a list, keypoints of another length than the skeleton's, or a score outside [0, 1].
    """
    known = {record.image_id: record for record in records}
    rows_of: dict[int | str, list[Fields]] = {}
    for row in _rows(path, "results {image_id, category_id, keypoints, score}"):
        rows_of.setdefault(row.identifier("image_id"), []).append(row)
    out = {}
    for image_id, rows in rows_of.items():
        people = [_read_person(row, skeleton, clip_scores) for row in rows]
        keypoints, scores, found, box_scores = (np.array(part) for part in zip(*people, strict=True))
        presence = [row.numbers("presence", (len(skeleton),), None) for row in rows]
        spoken = all(one is not None for one in presence)
        record = known.get(image_id)
        size_wh = record.size_wh if record is not None else None
        out[image_id] = Poses(
            keypoints=keypoints,
            scores=scores,
            boxes=found,
            skeleton=skeleton,
            size_wh=size_wh or _size_around(keypoints, found),
            box_scores=box_scores,
            path=record.image_path if record is not None else None,
            presence=np.array(presence) if spoken else None,
            present_above=rows[0].number("present_above", PRESENT_ABOVE) if spoken else PRESENT_ABOVE,
        )
    return out


def write_results(
    poses: Sequence[Poses], path: str | os.PathLike, image_ids: Sequence[int | str] | None = None
) -> Path:
    """Write the people of all images as COCO keypoint results, atomically.

    Parameters
    ----------
    poses : one for each image; `Poses.to_coco` says what is written of each. Masks become ``segmentation``, COCO's run
        lengths.
    path : the JSON file.
    image_ids : one an image; None takes the file's stem, longer where two images would share it. A stem of digits
        becomes the number it spells where that is no other image's, as COCO names its files after their ids.
    """
    ids = ids_of(unique_names([p.path for p in poses])) if image_ids is None else list(image_ids)
    if len(ids) != len(poses):
        raise FormatError(path, f"got {len(ids)} image ids for {len(poses)} images")
    rows = []
    for p, image_id in zip(poses, ids, strict=True):
        found = p.to_coco(image_id)
        if p.masks is not None:
            found = [{**row, "segmentation": mask} for row, mask in zip(found, rle.packed(p.masks), strict=True)]
        rows += found
    return write_json(path, rows)


def ids_of(names: Sequence[str]) -> list[int | str]:
    """The ids of images of these names: a name of digits is the number it spells where that is no other image's."""
    numbers = [int(name) if name.isascii() and name.isdigit() else name for name in names]
    return numbers if len(set(numbers)) == len(numbers) else list(names)


def _rows(path: str | os.PathLike, what: str) -> list[Fields]:
    data = load_json(path)
    if isinstance(data, dict):
        raise FormatError(path, f"is a dictionary (an annotation file?), expected a list of {what}")
    return [Fields(path, f"entry {i}", row) for i, row in enumerate(records_in(path, data, what))]


def _score(row: Fields, name: str, clip: bool = False) -> float:
    score = row.number(name)
    if not clip and not 0 <= score <= 1:
        row.fail(name, f"expected a score in [0, 1], got {score:g}")
    return float(np.clip(score, 0, 1))


def _read_person(row: Fields, skeleton: Skeleton, clip: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    triplets = row.numbers("keypoints", (3 * len(skeleton),)).reshape(-1, 3)
    scores = triplets[:, 2]
    if not clip and ((scores < 0) | (scores > 1)).any():
        row.fail(
            "keypoints",
            f"expected scores in [0, 1], got {scores.min():g} ... {scores.max():g}; cut with clip_scores=True",
        )
    scores = np.clip(scores, 0, 1)
    keypoints = np.where((triplets == 0).all(axis=1)[:, None], np.nan, triplets[:, :2])
    box = row.numbers("bbox", (4,), None)
    if box is not None:
        box = boxes.xywh_to_xyxy(box)
    elif np.isfinite(keypoints).any():
        box = boxes.around_points(keypoints)
    else:
        row.fail("keypoints", "has no joint at all, and there is no 'bbox' to say where the person is")
    mean = float(scores.mean())
    score = _score(row, "score", clip)
    return keypoints, scores, box, min(score / mean, 1.0) if mean > 0 else score


def _size_around(keypoints_px: np.ndarray, boxes_xyxy: np.ndarray) -> tuple[int, int]:
    """The smallest (w, h) that holds all joints and boxes."""
    points = np.concatenate([keypoints_px.reshape(-1, 2), boxes_xyxy.reshape(-1, 2), [[0.5, 0.5]]])
    width, height = np.ceil(np.nanmax(points, axis=0) + 0.5).astype(int)
    return int(width), int(height)
