"""Which annotated people are worth training on: the sample filter of the stacked hourglass for COCO.

Source: robertklee/COCO-Human-Pose (its README and ``constants.py``): crowd regions are dropped, a person needs more
than 4 labelled joints and a box of more than 30 x 30 pixels. Nearly half of COCO's annotated people have fewer.

For training only. Ground truth of an evaluation stays complete: a person that a filter removed from it could no longer
be missed, and figures would rise without the model being better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..geometry import boxes
from ..types import Person, Record

MIN_JOINTS = 5
MIN_AREA_PX = 900.0

_DECIMALS = 6  # files give two decimals; what lies beyond is rounding from x + width back to the width


@dataclass(frozen=True)
class SelectReport:
    """What `select_people` kept and why it removed the rest; ``print(report)`` is one line.

    A person is counted under the first reason that applies, in the order of the fields, so that
    ``persons == persons_kept + crowd + few_joints + small``.

    Attributes
    ----------
    min_joints, min_area_px : the limits.
    images, images_kept : records that came in, and those that keep at least one person.
    persons, persons_kept : annotations that came in, crowd regions among them, and those kept.
    crowd : regions of many people.
    few_joints : people with fewer than ``min_joints`` labelled joints.
    small : people whose box has no more than ``min_area_px`` square pixels.
    """

    min_joints: int
    min_area_px: float
    images: int
    images_kept: int
    persons: int
    persons_kept: int
    crowd: int
    few_joints: int
    small: int

    def __str__(self) -> str:
        return (
            f"{self.persons_kept:,} of {self.persons:,} people in {self.images_kept:,} of {self.images:,} images kept; "
            f"left out: {self.crowd:,} crowd regions, {self.few_joints:,} with fewer than {self.min_joints} joints, "
            f"{self.small:,} with a box of no more than {self.min_area_px:g} px²"
        )


def select_people(
    records: Iterable[Record], min_joints: int = MIN_JOINTS, min_area_px: float = MIN_AREA_PX
) -> tuple[list[Record], SelectReport]:
    """The records with the people that are worth training on, and a count of what was removed.

    Parameters
    ----------
    records : from a format reader. They are not changed; one that keeps all its people is passed on as it is.
    min_joints : the least number of labelled joints, hidden ones included (COCO's ``num_keypoints``).
    min_area_px : the box's area must be greater than this many square pixels. A person without a box is not judged by
        its area.

    Returns
    -------
    The records, in their order, without crowd regions, people below a limit, and images where nobody is left; and the
    report.
    """
    kept: list[Record] = []
    removed = {"crowd": 0, "few_joints": 0, "small": 0}
    images = persons = persons_kept = 0
    for record in records:
        stay = []
        for person in record.persons:
            reason = _why_not(person, min_joints, min_area_px)
            if reason is None:
                stay.append(person)
            else:
                removed[reason] += 1
        images, persons, persons_kept = images + 1, persons + len(record.persons), persons_kept + len(stay)
        if stay:
            kept.append(record if len(stay) == len(record.persons) else replace(record, persons=tuple(stay)))
    report = SelectReport(min_joints, min_area_px, images, len(kept), persons, persons_kept, **removed)
    return kept, report


def _why_not(person: Person, min_joints: int, min_area_px: float) -> str | None:
    if person.is_crowd:
        return "crowd"
    if int(person.labelled.sum()) < min_joints:
        return "few_joints"
    if person.box_xyxy is not None and not round(float(boxes.area(person.box_xyxy)), _DECIMALS) > min_area_px:
        return "small"
    return None
