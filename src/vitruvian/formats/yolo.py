"""YOLO-pose: a text file an image and a YAML file for the data set (docs.ultralytics.com/datasets/pose).

A line is one person: ``class cx cy w h`` and then ``x y`` or ``x y visibility`` of each joint, all lengths divided by
the image's. Multiplied back they are the numbers of COCO's files, without any half pixel, because that is how the
format's converters make them. Visibility is COCO's 0, 1, 2; where there is none, a joint at (0, 0) has no label.

The YAML file has ``path``, ``train``/``val``/``test`` (a folder of images, or a text file that lists them),
``kpt_shape: [K, 2 or 3]``, ``flip_idx``, ``names`` and perhaps ``kpt_names``. An image ``.../images/x.jpg`` has its
labels in ``.../labels/x.txt``; an image without that file has no people. Reading needs PyYAML (the extra ``data``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..errors import FormatError, SkeletonError
from ..extras import need
from ..geometry import boxes
from ..skeletons import SKELETONS, Skeleton
from ..types import Person, Record
from .fields import Fields, describe, load_text
from .joints import require_skeleton, skeleton_from_names
from .reading import OTHER_CATEGORY, Found, Reading, ReadResult, SizeOf, header_size
from .writing import write_text

_IMAGE_SUFFIXES = (".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Dataset:
    """What a data set's YAML file says."""

    splits: dict[str, list[Path]]
    skeleton: Skeleton
    values: int  # a joint: 2 or 3
    person_class: int


def read(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    skeleton: Skeleton | None = None,
    keep_unlabelled: bool = False,
    tolerance_px: float = 1.0,
    size_of: SizeOf = header_size,
) -> ReadResult:
    """Read a YOLO-pose data set.

    Parameters
    ----------
    path : the YAML file, or a folder with one.
    images : the folder of the images, in place of the one in the file.
    split : ``"train"``, ``"val"`` or ``"test"``; None reads all that the file names. ``Record.extra["split"]`` has it.
    skeleton : the joints; None takes them from ``kpt_names``, else the known skeleton with as many joints and the same
        ``flip_idx``, else one with joints ``joint_0``, ``joint_1`` ... and pairs ``left_joint_1``, ``right_joint_1``.
    keep_unlabelled, tolerance_px : see `reading`.
    size_of : how to get an image's (width, height) from its path, without which the numbers mean nothing; read from
        the file's header by default. Given another, images may be absent as a whole: where there is no folder of
        images, the label files are read alone, and ``size_of`` gets the path an image would have (``.jpg``).

    Raises
    ------
    FormatError
        Not such a file, no folder of images, a line of the wrong length or with text in it (named by its number).
    """
    path = _yaml_file(Path(path))
    dataset = _load_yaml(path, skeleton)
    if split is not None and split not in dataset.splits:
        raise FormatError(path, f"has no split '{split}', only {', '.join(dataset.splits)}", field=split)
    reading = Reading("yolo", path, keep_unlabelled=keep_unlabelled, tolerance_px=tolerance_px, size_of=size_of)
    records: list[Record] = []
    where = None if images is None else _Elsewhere(Path(images), dataset)
    for name, places in dataset.splits.items():
        if split not in (None, name):
            continue
        for place in places:
            for entry in _entries(path, place, where, size_of is not header_size):
                record = _read_entry(entry, dataset, reading, name)
                if record is not None:
                    records.append(record)
    return reading.result(records)


def write(records: Iterable[Record], path: str | os.PathLike, *, split: str = "train") -> Path:
    """Write records as ``labels/<split>/*.txt`` and ``dataset.yaml`` in the folder ``path``.

    Images are neither copied nor opened: put them into ``images/<split>`` under their own names. The YAML file names
    every split that has labels, so training and validation data are written one after the other. Returns that file.

    Parameters
    ----------
    records : of one skeleton and with sizes; a person without a box gets the box around the joints.
    path : the folder; made where it does not exist.
    split : ``"train"``, ``"val"`` or ``"test"``.

    Raises
    ------
    FormatError
        Records of several skeletons, a record without size, a person with neither box nor joints, or two images of
        one name.
    """
    records, folder = list(records), Path(path)
    if split not in _SPLITS:
        raise FormatError(path, f"unknown split '{split}', expected one of {', '.join(_SPLITS)}")
    skeleton = require_skeleton(records, None, path)
    names = [record.image_path.stem if record.image_path else str(record.image_id) for record in records]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise FormatError(path, "several images have this name, and labels are found by it", record=repeated[0])
    texts = [_lines(record, folder) for record in records]
    for name, text in zip(names, texts, strict=True):
        write_text(folder / "labels" / split / f"{name}.txt", text)
    return write_text(
        folder / "dataset.yaml", _yaml_text(skeleton, [s for s in _SPLITS if (folder / "labels" / s).is_dir()])
    )


# --- the YAML file -------------------------------------------------------------------------------------------------


def _yaml_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if len(files) != 1:
        found = ", ".join(f.name for f in files) or "none"
        raise FormatError(path, f"expected a folder with one YAML file, got {found}; give the file itself")
    return files[0]


def _load_yaml(path: Path, skeleton: Skeleton | None) -> _Dataset:
    yaml = need("yaml", "data", "reading a YOLO data set")
    try:
        data = yaml.safe_load(load_text(path))
    except yaml.YAMLError as error:
        raise FormatError(path, f"is not valid YAML: {' '.join(str(error).split())}") from error
    top = Fields(path, None, data)
    shape = top.integers("kpt_shape", (2,)).tolist()
    if shape[0] < 1 or shape[1] not in (2, 3):
        top.fail("kpt_shape", f"expected [joints, 2 or 3], got {shape}")
    root = path.parent / top.text("path", ".")
    root = root if root.is_dir() else path.parent  # often the path on the machine where the set was made
    splits = {}
    for name in _SPLITS:
        places = top.value(name, None)
        if places is not None:
            places = places if isinstance(places, list) else [places]
            if not all(isinstance(place, str) for place in places):
                top.fail(name, f"expected a folder or a list of folders, got {describe(places)}")
            splits[name] = [root / place for place in places]
    if not splits:
        top.fail("train", f"is missing, and so are val and test; the fields here are: {', '.join(map(str, top.data))}")
    person_class = _person_class(top)
    if skeleton is not None and len(skeleton) != shape[0]:
        top.fail("kpt_shape", f"says {shape[0]} joints, but the skeleton given, '{skeleton.name}', has {len(skeleton)}")
    return _Dataset(splits, skeleton or _skeleton(top, shape[0], person_class), shape[1], person_class)


def _person_class(top: Fields) -> int:
    names = top.value("names", {0: "person"})
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names:
        top.fail("names", f"expected class names, got {describe(names)}")
    people = [number for number, name in names.items() if name == "person"] or list(names)
    if len(people) != 1 or not isinstance(people[0], int):
        top.fail("names", f"expected one class, or one named 'person', got {names}")
    return people[0]


def _skeleton(top: Fields, count: int, person_class: int) -> Skeleton:
    """The joints, from their names if they are there, else from their number and ``flip_idx``."""
    names = top.value("kpt_names", None)
    names = names.get(person_class) if isinstance(names, dict) else names
    flip = top.integers("flip_idx", (count,), np.arange(count)).tolist()
    if sorted(flip) != list(range(count)) or any(flip[flip[k]] != k for k in range(count)):
        top.fail("flip_idx", f"must swap joints in pairs, got {flip}")
    if names is None:
        same = [s for s in SKELETONS.values() if len(s) == count and s.flip.tolist() == flip]
        if len(same) == 1:
            return same[0]
        sides = [("left_" if k < flip[k] else "right_" if k > flip[k] else "") for k in range(count)]
        names = [f"{side}joint_{min(k, flip[k])}" for k, side in enumerate(sides)]
    if not isinstance(names, list) or len(names) != count or not all(isinstance(n, str) and n for n in names):
        top.fail("kpt_names", f"expected {count} names, got {describe(names)}")
    try:
        found = skeleton_from_names(names, label=top.path.stem)
    except SkeletonError as error:
        top.fail("kpt_names", str(error), error)
    if "flip_idx" in top and found.flip.tolist() != flip:
        top.fail("flip_idx", f"disagrees with the joints' names, whose sides give {found.flip.tolist()}; got {flip}")
    return found


def _yaml_text(skeleton: Skeleton, splits: Sequence[str]) -> str:
    lines = ["path: .", *(f"{split}: images/{split}" for split in splits)]
    lines += [f"kpt_shape: [{len(skeleton)}, 3]", f"flip_idx: {skeleton.flip.tolist()}"]
    lines += ["names:", "  0: person", "kpt_names:", "  0:", *(f"  - {joint}" for joint in skeleton.joints)]
    return "\n".join(lines) + "\n"


# --- images and their labels ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """An image and the file of its labels; ``checked`` where the image must exist."""

    image: Path
    labels: Path
    image_id: str
    checked: bool = True


class _Elsewhere:
    """A folder with the images of one split or all: a place of labels has those that it labels, and the first one read
    those that nobody labels.
    """

    def __init__(self, folder: Path, dataset: _Dataset) -> None:
        self.folder = folder
        places = (place for places in dataset.splits.values() for place in places if place.suffix != ".txt")
        self._labelled = {name for place in places for name in _label_files(_labels_of(place))}
        self._given: set[Path] = set()

    def takes(self, name: Path, labelled: Collection[Path]) -> bool:
        """Whether the image ``name`` belongs to the place that labels ``labelled``."""
        if name in labelled:
            return True
        new = name not in self._labelled and name not in self._given
        self._given.add(name)
        return new

    def find(self, listed: Path) -> Path:
        """The image that a list names by a path elsewhere: by as much of that path's end as there is here."""
        ends = [Path(*listed.parts[i:]) for i in range(1, len(listed.parts))]
        return next((self.folder / end for end in ends if (self.folder / end).is_file()), self.folder / listed.name)


def _entries(path: Path, place: Path, elsewhere: _Elsewhere | None, may_lack_images: bool) -> list[_Entry]:
    """The images of one folder or list, and label files that have no image."""
    if place.suffix == ".txt":
        lines = [line.strip() for line in load_text(place).splitlines()]
        listed = [place.parent / line for line in lines if line]
        images = listed if elsewhere is None else [elsewhere.find(image) for image in listed]
        labelled = [_labels_of(image).with_suffix(".txt") for image in listed]
        return [_Entry(image, file, image.stem) for image, file in zip(images, labelled, strict=True)]
    folder, labels = place if elsewhere is None else elsewhere.folder, _labels_of(place)
    found = _label_files(labels)
    if folder.is_dir():
        files = [(file, file.relative_to(folder).with_suffix("")) for file in _files(folder, _IMAGE_SUFFIXES)]
        files = [(f, n) for f, n in files if elsewhere is None or elsewhere.takes(n, found)]
        names = [name for _, name in files]
        entries = [_Entry(f, labels / f"{n}.txt", n.as_posix()) for f, n in files]
        return entries + [_Entry(folder / f"{n}.*", f, n.as_posix()) for n, f in found.items() if n not in set(names)]
    if not may_lack_images or not found:
        lacking = "labels or images" if not found else "images, whose sizes are needed"
        raise FormatError(path, f"there is no folder {folder} of {lacking}; give images= or size_of=")
    return [_Entry(folder / f"{n}.jpg", f, n.as_posix(), checked=False) for n, f in found.items()]


def _label_files(labels: Path) -> dict[Path, Path]:
    """Label files of a folder by the names of their images."""
    return {file.relative_to(labels).with_suffix(""): file for file in _files(labels, (".txt",))}


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of a folder and its subfolders; hidden ones are half-written, or other programs' business."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in suffixes)
    return sorted(file for file in files if not file.name.startswith("."))


def _labels_of(image: Path) -> Path:
    """Where the labels of an image, or of a folder of images, are: the last ``images`` of the path is ``labels``."""
    parts = list(image.parts)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            return Path(*parts[:i], "labels", *parts[i + 1 :])
    return image


def _read_entry(entry: _Entry, dataset: _Dataset, reading: Reading, split: str) -> Record | None:
    text = load_text(entry.labels) if entry.labels.is_file() else ""
    lines = [(i + 1, line.split()) for i, line in enumerate(text.splitlines()) if line.strip()]
    if entry.checked:
        found = reading.check_image(entry.image, f"image {entry.image_id}", len(lines))
    else:
        found = Found(entry.image, reading.size_of(entry.image) if reading.size_of is not None else None)
    if found is None or found.size_wh is None:
        return None
    persons = []
    for number, words in lines:
        row = _Line(entry.labels, number, words, dataset)
        where = f"{entry.labels.name}, line {number}"
        if row.class_id != dataset.person_class:
            reading.skip(OTHER_CATEGORY, "annotation", where, f"class {row.class_id}")
            continue
        person = reading.keep(row.person(found.size_wh), where, found.size_wh)
        if person is not None:
            persons.append(person)
    return Record(
        entry.image, entry.image_id, found.size_wh, dataset.skeleton, tuple(persons), "yolo", {"split": split}
    )


class _Line:
    """One line of a label file, as numbers."""

    def __init__(self, path: Path, number: int, words: Sequence[str], dataset: _Dataset):
        self.path, self.record = path, f"line {number}"
        self.joints, self.per_joint = dataset.skeleton.joints, dataset.values
        full = 5 + len(self.joints) * self.per_joint
        if len(words) not in (5, full):
            problem = (
                f"has {len(words)} numbers, expected {full} (class, box, {len(self.joints)} x {self.per_joint}) or 5"
            )
            raise FormatError(path, problem, record=self.record)
        self.values = np.array([self._number(i, word) for i, word in enumerate(words)])
        if self.values[0] != round(self.values[0]):
            self._fail(0, f"expected a whole number, got {self.values[0]:g}")
        self.class_id = int(self.values[0])

    def person(self, size_wh: tuple[int, int]) -> Person:
        """The person in pixels."""
        size = np.array(size_wh, dtype=np.float64)
        center, extent = self.values[1:3] * size, self.values[3:5] * size
        if (extent < 0).any():
            self._fail(3, f"expected width and height >= 0, got {self.values[3:5].tolist()}")
        joints = np.zeros((len(self.joints), self.per_joint))
        if self.values.size > 5:
            joints = self.values[5:].reshape(joints.shape)
        if self.per_joint == 3:
            visibility = joints[:, 2]
            wrong = ~np.isin(visibility, (0, 1, 2))
            if wrong.any():
                k = int(np.argmax(wrong))
                self._fail(5 + 3 * k + 2, f"visibility must be 0, 1 or 2, got {visibility[k]:g}")
        else:
            visibility = np.where((joints != 0).any(axis=1), 2, 0)
        box = np.concatenate([center - extent / 2, center + extent / 2])
        return Person(keypoints_px=joints[:, :2] * size, visibility=visibility, box_xyxy=box)

    def _number(self, i: int, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            self._fail(i, f"expected a finite number, got '{word}'")
        return value

    def _fail(self, i: int, problem: str) -> NoReturn:
        names = ("class", "cx", "cy", "w", "h")
        joint, part = divmod(i - 5, self.per_joint)
        field = names[i] if i < 5 else f"{self.joints[joint]} {('x', 'y', 'visibility')[part]}"
        raise FormatError(self.path, problem, record=self.record, field=field)


def _lines(record: Record, folder: Path) -> str:
    where = f"image {record.image_id}"
    if record.size_wh is None:
        raise FormatError(folder, "has no size, and YOLO's numbers are relative to it", record=where)
    size = np.array(record.size_wh, dtype=np.float64)
    lines = []
    for i, person in enumerate(record.persons):
        if person.box_xyxy is None and not person.labelled.any():
            raise FormatError(folder, "has neither a box nor joints", record=f"{where}, person {i}")
        box = boxes.around_points(person.keypoints_px) if person.box_xyxy is None else np.asarray(person.box_xyxy)
        placed = np.where(person.labelled[:, None], person.keypoints_px / size, 0.0)
        joints = [
            f"{_short(x)} {_short(y)} {int(v)}" for (x, y), v in zip(placed.tolist(), person.visibility, strict=True)
        ]
        center, extent = (box[:2] + box[2:]) / 2 / size, (box[2:] - box[:2]) / size
        lines.append(" ".join(["0", *(_short(v) for v in (*center, *extent)), *joints]) + "\n")
    return "".join(lines)


def _short(value: float) -> str:
    """Eight digits: a ten-thousandth of a pixel in the largest photos."""
    return f"{value:.8f}".rstrip("0").rstrip(".") or "0"
