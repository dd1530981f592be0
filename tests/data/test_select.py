"""The filter of the stacked hourglass: its boundaries, its counts, and raw COCO as the oracle."""

from __future__ import annotations

import json

import numpy as np

from vitruvian.data.select import select_people
from vitruvian.formats import read
from vitruvian.geometry.boxes import xywh_to_xyxy
from vitruvian.skeletons import COCO17
from vitruvian.types import Person, Record


def person(joints: int = 17, size_wh=(100.0, 200.0), corner=(5.0, 7.0), crowd: bool = False, codes=(2,)) -> Person:
    visibility = np.zeros(17, np.int8)
    visibility[:joints] = np.resize(codes, joints)
    box = None if size_wh is None else xywh_to_xyxy(np.array([*corner, *size_wh]))
    return Person(np.zeros((17, 2)), visibility, box_xyxy=box, is_crowd=crowd)


def record(*persons: Person, number: int = 0) -> Record:
    return Record(None, number, (640, 480), COCO17, persons)


def keeps(one: Person, **limits) -> bool:
    records, report = select_people([record(one)], **limits)
    assert report.persons_kept == len(records)
    return bool(records)


def test_more_than_four_joints():
    assert [keeps(person(joints)) for joints in range(8)] == [False] * 5 + [True] * 3
    assert [keeps(person(joints), min_joints=2) for joints in range(4)] == [False, False, True, True]


def test_hidden_joints_count_as_labelled():
    """COCO's num_keypoints counts both."""
    assert keeps(person(5, codes=(1,)))
    assert not keeps(person(4, codes=(1, 2)))


def test_more_than_900_square_pixels(rng):
    """Exactly 900 is too few wherever the box lies: x + width - x is not always the width again."""
    sizes = [(30, 30), (22.5, 40), (90, 10), (36, 25), (1.5, 600)]
    hard = 0
    for _ in range(300):
        corner = rng.integers(0, 64_000, 2) / 100
        width, height = sizes[int(rng.integers(len(sizes)))]
        x0, y0, x1, y1 = xywh_to_xyxy(np.array([*corner, width, height]))
        hard += (x1 - x0) * (y1 - y0) > 900
        assert not keeps(person(size_wh=(width, height), corner=corner))
        assert keeps(person(size_wh=(width + 0.01, height), corner=corner))
    assert hard  # the naive comparison would have failed


def test_area_limit_is_an_option():
    assert keeps(person(size_wh=(10, 10)), min_area_px=99)
    assert not keeps(person(size_wh=(10, 10)), min_area_px=100)
    assert keeps(person(size_wh=(0.1, 0.1)), min_area_px=0)


def test_crowds_go_however_well_labelled():
    assert not keeps(person(crowd=True))


def test_people_without_a_box_are_judged_by_their_joints():
    assert keeps(person(5, size_wh=None))
    assert not keeps(person(4, size_wh=None))


def test_records():
    """Images where nobody is left go, others lose people; what came in stays as it was."""
    good, poor, small, crowd = person(6), person(4), person(size_wh=(30, 30)), person(crowd=True)
    before = [
        record(good, good, number=1),
        record(poor, good, crowd, good, number=2),
        record(small, number=3),
        record(number=4),
        record(crowd, poor, number=5),
        record(person(0, size_wh=(1, 1), crowd=True), good, number=6),
    ]
    after, report = select_people(iter(before))
    assert [r.image_id for r in after] == [1, 2, 6]
    assert after[0] is before[0]
    assert after[1].persons == (good, good)
    assert after[1].size_wh == (640, 480)
    assert [len(r.persons) for r in before] == [2, 4, 1, 0, 2, 2]
    assert (report.images, report.images_kept, report.persons, report.persons_kept) == (6, 3, 11, 5)
    assert (report.crowd, report.few_joints, report.small) == (3, 2, 1)
    assert str(report) == (
        "5 of 11 people in 3 of 6 images kept; left out: 3 crowd regions, 2 with fewer than 5 joints, "
        "1 with a box of no more than 900 px²"
    )


def test_one_reason_a_person(rng):
    people = [
        person(int(rng.integers(18)), tuple(rng.uniform(1, 80, 2)), crowd=bool(rng.random() < 0.2)) for _ in range(200)
    ]
    records, report = select_people([record(*people[i : i + 4], number=i) for i in range(0, 200, 4)])
    assert report.persons == 200 == report.persons_kept + report.crowd + report.few_joints + report.small
    assert report.crowd == sum(p.is_crowd for p in people)
    assert report.persons_kept == sum(len(r.persons) for r in records)
    assert select_people(records)[1].persons_kept == report.persons_kept  # a second pass finds nothing more


def test_nothing():
    records, report = select_people([])
    assert records == []
    assert report.persons == report.images == 0


def test_real_annotations(shared_data):
    """Against the fields of the file itself, for several limits."""
    file = shared_data / "photos/coco/train/person_keypoints_train2017.json"
    rows = json.loads(file.read_text())["annotations"]
    records = read("coco", file, keep_unlabelled=True).records
    for joints, area in ((5, 900.0), (1, 0.0), (10, 30_000.0)):
        kept, report = select_people(records, joints, area)
        expected = {
            row["id"]
            for row in rows
            if not row["iscrowd"] and row["num_keypoints"] >= joints and row["bbox"][2] * row["bbox"][3] > area
        }
        assert {p.id for r in kept for p in r.persons} == expected
        assert report.persons_kept == len(expected) > 0
