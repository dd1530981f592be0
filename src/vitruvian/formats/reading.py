"""What every annotation reader gives back, and the one place that decides what is skipped.

The policy, the same for all formats:

- A file that contradicts itself (not JSON, a key missing, a list of the wrong length, text for a number, an id that
  refers to nothing) is a `FormatError`; nothing is read.
- An annotation that is well formed but useless is skipped and listed in the report, with the reason: one of `REASONS`.
  A person without joints, or whose box has no area, is skipped; an image that does not exist takes its people along.
- A joint outside the image (by more than ``tolerance_px``, since annotators click on the border) loses its label and
  is listed; the person stays for the joints that remain, and is skipped when none does.
- COCO's crowd regions stay without joints, because metrics must know where not to count false alarms.
- ``keep_unlabelled=True`` keeps people without joints as long as they have a box or a mask: for training detectors, and
  for COCO's metrics, which let such people absorb detections.

An image exists or not only where its folder is known: the one given as ``images``, else ``images/`` beside the file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import FormatError
from ..types import Person, Record

NO_JOINTS = "annotation without joints"
ZERO_AREA = "zero-area box"
OUTSIDE = "joints outside the image"
IMAGE_MISSING = "image missing"
IMAGE_UNREADABLE = "image unreadable"
OTHER_CATEGORY = "not a person"
REASONS = (NO_JOINTS, ZERO_AREA, OUTSIDE, IMAGE_MISSING, IMAGE_UNREADABLE, OTHER_CATEGORY)

SizeOf = Callable[[Path], tuple[int, int]]
"""A function from an image's path to its (width, height)."""


@dataclass(frozen=True)
class Skip:
    """One thing a reader left out.

    Attributes
    ----------
    reason : one of `REASONS`.
    what : ``"image"``, ``"person"``, ``"joints"`` (the person stays, some of its joints do not), or ``"annotation"``
        (of something that is not a person).
    record : where in the file, e.g. ``"image 36 (0036.jpg), annotation 12"``.
    detail : the values that led to it.
    count : how many of ``what``.
    """

    reason: str
    what: str
    record: str
    detail: str = ""
    count: int = 1


@dataclass(frozen=True)
class ReadReport:
    """What a reader kept and what it skipped; ``print(report)`` is a summary.

    Attributes
    ----------
    format, path : what was read.
    images, persons, joints : how many were kept (joints: labelled ones).
    skipped : everything left out, in the order of the file.
    """

    format: str
    path: Path
    images: int
    persons: int
    joints: int
    skipped: tuple[Skip, ...] = ()

    def counts(self) -> dict[str, dict[str, int]]:
        """``{reason: {what: how many}}`` of what was skipped."""
        counts: dict[str, Counter[str]] = {}
        for skip in self.skipped:
            counts.setdefault(skip.reason, Counter())[skip.what] += skip.count
        return {reason: dict(found) for reason, found in counts.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        skipped: dict[str, dict[str, Any]] = {}
        for reason, found in self.counts().items():
            records = [
                {"record": s.record, "what": s.what, "detail": s.detail} for s in self.skipped if s.reason == reason
            ]
            skipped[reason] = {**found, "records": records}
        return {
            "format": self.format,
            "path": str(self.path),
            "images": self.images,
            "persons": self.persons,
            "joints": self.joints,
            "skipped": skipped,
        }

    def __str__(self) -> str:
        lines = [f"{self.format}: {self.images} images, {self.persons} persons, {self.joints} joints from {self.path}"]
        for reason, found in self.counts().items():
            amounts = " and ".join(f"{count} {_plural(what, count)}" for what, count in found.items())
            places = [s.record + (f": {s.detail}" if s.detail else "") for s in self.skipped if s.reason == reason]
            more = f"; and {len(places) - 3} more" if len(places) > 3 else ""
            lines.append(f"  left out {amounts}, {reason} ({'; '.join(places[:3])}{more})")
        return "\n".join(lines)


def _plural(what: str, count: int) -> str:
    if what == "joints":
        return "joint" if count == 1 else "joints"
    return what if count == 1 else what + "s"


@dataclass(frozen=True)
class ReadResult:
    """The records of an annotation file, and the report of what was skipped on the way."""

    records: list[Record]
    report: ReadReport


@dataclass(frozen=True)
class Found:
    """An image that a reader may go on with: its path (None where the file names none), and size if it is known."""

    path: Path | None
    size_wh: tuple[int, int] | None = None


def header_size(path: Path) -> tuple[int, int]:
    """(width, height) of an image file as a person would see it (EXIF orientation applied), from its header alone.

    Raises `OSError` or `ValueError` where the header cannot be read.
    """
    try:
        with Image.open(path) as image:
            # The plain method: PNG's own would decode all pixels to look for EXIF data behind them.
            turned = Image.Image.getexif(image).get(0x0112, 1) in (5, 6, 7, 8)
            width, height = image.size
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    return (height, width) if turned else (width, height)


class Reading:
    """One run of a reader: finds images, applies the policy of this module, and collects the report.

    Parameters
    ----------
    format_name : for the report.
    path : the annotation file or folder.
    images : the folder of the images; None takes ``images/`` beside the file where that exists.
    keep_unlabelled, tolerance_px : see the module's docstring.
    size_of : how to get the size of an image whose format does not tell it; None leaves it unknown, and then joints
        are only checked against the left and upper edges.

    Raises
    ------
    FormatError
        ``images`` is not a folder.
    """

    def __init__(
        self,
        format_name: str,
        path: str | os.PathLike,
        images: str | os.PathLike | None = None,
        *,
        keep_unlabelled: bool = False,
        tolerance_px: float = 1.0,
        size_of: SizeOf | None = None,
    ):
        self.format, self.path = format_name, Path(path)
        self.keep_unlabelled, self.tolerance_px, self.size_of = keep_unlabelled, tolerance_px, size_of
        self.skipped: list[Skip] = []
        if images is not None and not Path(images).is_dir():
            raise FormatError(images, "is not a folder; expected the folder of the images")
        beside = (self.path if self.path.is_dir() else self.path.parent) / "images"
        self.images: Path | None = Path(images) if images is not None else beside if beside.is_dir() else None
        self._names: dict[Path, set[str]] = {}

    def skip(self, reason: str, what: str, record: str, detail: str = "", count: int = 1) -> None:
        """List one thing as left out."""
        self.skipped.append(Skip(reason, what, record, detail, count))

    def find_image(self, name: str | None, record: str, persons: int) -> Found | None:
        """The image of that name, or None after listing it as missing or unreadable together with its ``persons``."""
        if name is None or self.images is None:
            return Found(None if name is None else Path(name))
        return self.check_image(self.images / name, record, persons)

    def check_image(self, path: Path, record: str, persons: int) -> Found | None:
        """As `find_image`, of an image whose whole path is known."""
        # A folder is listed once: asking the system for each of 100,000 files is slow on network disks.
        names = self._names.get(path.parent)
        if names is None:
            names = self._names[path.parent] = set(os.listdir(path.parent)) if os.path.isdir(path.parent) else set()
        if path.name not in names and not os.path.isfile(path):  # unlike `Path`, they know of names that cannot be
            self.skip(IMAGE_MISSING, "image", record, f"{path}, with {persons} {_plural('person', persons)}")
            return None
        if self.size_of is None:
            return Found(path)
        try:
            return Found(path, self.size_of(path))
        except (OSError, ValueError) as error:
            self.skip(IMAGE_UNREADABLE, "image", record, f"{error}, with {persons} {_plural('person', persons)}")
            return None

    def keep(self, person: Person, record: str, size_wh: tuple[int, int] | None) -> Person | None:
        """The person with the joints that may stay, or None after listing it as skipped."""
        box = person.box_xyxy
        if box is not None and not (box[2] > box[0] and box[3] > box[1]):
            width, height = box[2] - box[0], box[3] - box[1]
            self.skip(ZERO_AREA, "person", record, f"{width:g} x {height:g} px")
            return None
        outside = person.labelled & self._outside(person.keypoints_px, size_wh)
        remaining = person.labelled & ~outside
        if remaining.any() or self._kept_without_joints(person):
            if outside.any():
                self.skip(OUTSIDE, "joints", record, _positions(person, outside, size_wh), int(outside.sum()))
                person = replace(person, visibility=np.where(outside, 0, person.visibility))
            return person
        if outside.any():
            self.skip(OUTSIDE, "person", record, _positions(person, outside, size_wh))
        else:
            self.skip(NO_JOINTS, "person", record)
        return None

    def result(self, records: list[Record]) -> ReadResult:
        """The records with the report that belongs to them."""
        persons = [person for record in records for person in record.persons]
        joints = sum(int(person.labelled.sum()) for person in persons)
        report = ReadReport(self.format, self.path, len(records), len(persons), joints, tuple(self.skipped))
        return ReadResult(records, report)

    def _kept_without_joints(self, person: Person) -> bool:
        has_region = person.box_xyxy is not None or person.segmentation is not None
        return person.is_crowd or (self.keep_unlabelled and has_region)

    def _outside(self, keypoints_px: np.ndarray, size_wh: tuple[int, int] | None) -> np.ndarray:
        """(K,) bool; joints that are not labelled are NaN and count as inside."""
        low = -0.5 - self.tolerance_px
        high = np.array(size_wh if size_wh is not None else (np.inf, np.inf)) - 0.5 + self.tolerance_px
        with np.errstate(invalid="ignore"):  # some processors' comparisons complain about NaN
            return np.any((keypoints_px < low) | (keypoints_px > high), axis=1)


def _positions(person: Person, which: np.ndarray, size_wh: tuple[int, int] | None) -> str:
    points = [
        f"joint {k} at ({person.keypoints_px[k, 0]:.1f}, {person.keypoints_px[k, 1]:.1f})"
        for k in np.flatnonzero(which)
    ]
    size = f" of {size_wh[0]} x {size_wh[1]}" if size_wh is not None else ""
    return f"{', '.join(points[:3])}{' ...' if len(points) > 3 else ''}{size}"
