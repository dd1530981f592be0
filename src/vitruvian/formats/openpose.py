"""OpenPose's JSON: one file an image, as its ``--write_json`` makes them (OpenPose's doc/02_output.md).

A file ``<image>_keypoints.json`` is ``{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y,
confidence, ...], ...}]}``. Confidence 0 means that a joint was not found. Files of 25 joints (BODY_25) are read as they
are, those of 18 (OpenPose's COCO model) into BODY_25, where feet and pelvis then have no label. Hands, faces and 3D
points are passed over.

Hidden and visible joints cannot be told apart here. Coordinates must be pixels (``--keypoint_scale 0``, the default).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..skeletons import BODY25, Skeleton
from ..types import Person, Poses, Record
from .fields import Fields, load_json
from .reading import Reading, ReadResult, SizeOf, header_size
from .writing import unique_names, write_json

_ENDING = "_keypoints.json"
_COCO18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
_ORDERS = {3 * len(BODY25): BODY25.joints, 3 * len(_COCO18): _COCO18}
_MIDPOINTS = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
_EMPTY_FIELDS = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d",
    "pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".JPG", ".JPEG", ".PNG")


def read(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    keep_unlabelled: bool = False,
    tolerance_px: float = 1.0,
    size_of: SizeOf | None = header_size,
) -> ReadResult:
    """Read one OpenPose file, or all ``*_keypoints.json`` of a folder.

    Parameters
    ----------
    path : file or folder.
    images : the folder of the images, found by the files' names; None takes ``images/`` beside the files where it
        exists. The files themselves do not name their image.
    keep_unlabelled, tolerance_px : see `reading`. People here have no boxes, so ``keep_unlabelled`` keeps no one.
    size_of : how to get an image's size, which the file does not tell; None leaves it unknown.

    Returns
    -------
    One record a file, in the order of their names, with BODY_25 joints. ``Person.extra["scores"]`` has the 25
    confidences, ``Person.id`` the ``person_id`` where it is not -1.

    Raises
    ------
    FormatError
        Not such a file, another number of joints, coordinates that are not pixels, or a folder without such files.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():  # hidden ones are half-written, or other programs' business
        files = sorted(file for file in path.glob("*" + _ENDING) if not file.name.startswith("."))
    if not files:
        raise FormatError(path, f"has no files *{_ENDING}")
    reading = Reading(
        "openpose", path, images, keep_unlabelled=keep_unlabelled, tolerance_px=tolerance_px, size_of=size_of
    )
    names = _image_names(reading.images)
    records = []
    for file in files:
        stem = file.name.removesuffix(_ENDING) if file.name.endswith(_ENDING) else file.stem
        people = people_of(file)
        name = names.get(stem, f"{stem}.*") if reading.images is not None else None
        found = reading.find_image(name, file.name, len(people))
        if found is None:
            continue
        kept = [reading.keep(p, f"{file.name}, person {i}", found.size_wh) for i, p in enumerate(people)]
        persons = tuple(p for p in kept if p is not None)
        records.append(Record(found.path, stem, found.size_wh, BODY25, persons, "openpose"))
    return reading.result(records)


def people_of(file: str | os.PathLike) -> list[Person]:
    """Everybody in one file, people without joints too, with BODY_25 joints; its image is not looked for.

    Raises `FormatError` as `read` does.
    """
    top = Fields(file, None, load_json(file))
    return [_person(Fields(file, f"person {i}", row)) for i, row in enumerate(top.items("people"))]


def write(records: Iterable[Record], path: str | os.PathLike) -> Path:
    """Write one file an image into the folder ``path``; joints go to BODY_25 as `to_body25` says.

    Parameters
    ----------
    records : of any skeleton. A labelled joint has its confidence from ``Person.extra["scores"]`` where that fits the
        skeleton, else 1.
    path : the folder; made where it does not exist.
    """
    folder, records = Path(path), list(records)
    folder.mkdir(parents=True, exist_ok=True)
    names = unique_names([record.image_path or Path(str(record.image_id)) for record in records])
    for name, record in zip(names, records, strict=True):
        people = []
        for person in record.persons:
            scores = np.asarray(person.extra.get("scores", ()), dtype=np.float64)
            scores = scores if scores.shape == person.visibility.shape else np.ones(person.visibility.shape)
            keypoints, scores = to_body25(person.keypoints_px, scores, record.skeleton)
            people.append(_row(keypoints, scores, person.id if isinstance(person.id, int) else -1))
        _write_file(file_of(folder, name), people)
    return folder


def file_of(folder: str | os.PathLike, name: str) -> Path:
    """The file of the image called ``name``."""
    return Path(folder) / f"{name}{_ENDING}"


def write_poses(poses: Sequence[Poses], folder: str | os.PathLike, names: Sequence[str] | None = None) -> list[Path]:
    """Write one file an image of found people; joints go to BODY_25 as `to_body25` says. Returns the files.

    Joints that a model with a presence takes for absent score 0, OpenPose's sign for that. ``names``: what to call the
    images; None takes `unique_names` of their paths.
    """
    out = []
    for name, found in zip(names or unique_names([p.path for p in poses]), poses, strict=True):
        there = found.scores if found.presence is None else found.scores * found.shown()
        keypoints, scores = to_body25(found.keypoints, there, found.skeleton)
        ids = np.full(len(found), -1) if found.ids is None else found.ids
        people = [_row(k, s, int(i)) for k, s, i in zip(keypoints, scores, ids, strict=True)]
        out.append(_write_file(file_of(folder, name), people))
    return out


def to_body25(keypoints_px: np.ndarray, scores: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Joints of any skeleton as BODY_25.

    Joints are taken by name. Where the skeleton has no ``neck`` or ``pelvis``, they are the middle of both shoulders or
    hips, as OpenPose's training data defines them, with the lower of the two scores.

    Parameters
    ----------
    keypoints_px : (..., K, 2), NaN where missing.
    scores : (..., K).

    Returns
    -------
    ((..., 25, 2), (..., 25)); joints that are missing are NaN with score 0.
    """
    keypoints = BODY25.take(skeleton, np.asarray(keypoints_px, dtype=np.float64), axis=-2, missing=np.nan)
    scores = BODY25.take(skeleton, np.asarray(scores, dtype=np.float64), axis=-1, missing=0.0)
    for joint, ends in _MIDPOINTS.items():
        if joint not in skeleton.joints and all(end in skeleton.joints for end in ends):
            a, b = (BODY25.index(end) for end in ends)
            k = BODY25.index(joint)
            keypoints[..., k, :] = (keypoints[..., a, :] + keypoints[..., b, :]) / 2
            scores[..., k] = np.minimum(scores[..., a], scores[..., b])
    return keypoints, np.where(np.isfinite(keypoints).all(axis=-1), scores, 0.0)


def _image_names(folder: Path | None) -> dict[str, str]:
    """Image names by stem; where several share one, the first of the usual suffixes."""
    names: dict[str, str] = {}
    for file in sorted(os.listdir(folder)) if folder is not None else ():
        stem, suffix = os.path.splitext(file)
        if suffix in _IMAGE_SUFFIXES:
            names.setdefault(stem, file)
    return names


def _person(row: Fields) -> Person:
    flat = row.numbers("pose_keypoints_2d", (-1,))
    if flat.size not in _ORDERS:
        counts = " or ".join(f"{length} ({length // 3} joints)" for length in _ORDERS)
        row.fail("pose_keypoints_2d", f"has {flat.size} numbers, expected {counts} as x, y, confidence")
    joints = _ORDERS[flat.size]
    triplets = np.zeros((len(BODY25), 3))
    triplets[[BODY25.index(joint) for joint in joints]] = flat.reshape(-1, 3)
    scores = triplets[:, 2]
    if (scores < 0).any():
        row.fail("pose_keypoints_2d", f"expected confidences >= 0, got {scores.min():g}")
    labelled = scores > 0
    if labelled.sum() > 1 and (np.abs(triplets[labelled, :2]) <= 1).all():
        row.fail(
            "pose_keypoints_2d", "all coordinates lie in -1 ... 1; run OpenPose with --keypoint_scale 0 for pixels"
        )
    identity = row.value("person_id", -1)
    identity = identity[0] if isinstance(identity, list) and len(identity) == 1 else identity
    if isinstance(identity, bool) or not isinstance(identity, int):
        row.fail("person_id", f"expected a whole number or a list of one, got {identity!r}")
    return Person(
        keypoints_px=triplets[:, :2],
        visibility=np.where(labelled, 2, 0),
        id=identity if identity >= 0 else None,
        extra={"scores": scores.tolist()},
    )


def _row(keypoints_px: np.ndarray, scores: np.ndarray, identity: int) -> dict:
    found = np.isfinite(keypoints_px).all(axis=1) & (scores > 0)
    triplets = np.where(found[:, None], np.concatenate([keypoints_px, scores[:, None]], axis=1), 0.0)
    flat = [round(value, 4) for value in triplets[:, :2].ravel().tolist()]
    values = [v for k in range(len(triplets)) for v in (flat[2 * k], flat[2 * k + 1], round(float(triplets[k, 2]), 6))]
    return {"person_id": [identity], "pose_keypoints_2d": values, **{name: [] for name in _EMPTY_FIELDS}}


def _write_file(path: Path, people: list[dict]) -> Path:
    return write_json(path, {"version": 1.3, "people": people})
