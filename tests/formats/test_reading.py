"""The policy on useless annotations: every reason to skip, by the values that lead to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.formats import read
from vitruvian.formats.reading import (
    IMAGE_MISSING,
    IMAGE_UNREADABLE,
    NO_JOINTS,
    OUTSIDE,
    REASONS,
    ZERO_AREA,
    Reading,
    ReadReport,
    Skip,
    header_size,
)
from vitruvian.types import Person

SIZE = (40, 30)


def person(points=((5, 5), (6, 7)), codes=(2, 2), **fields) -> Person:
    return Person(np.array(points, dtype=float), np.array(codes), **fields)


@pytest.fixture
def reading(tmp_path) -> Reading:
    return Reading("test", tmp_path / "a.json")


def test_a_good_person_stays_as_it_is(reading):
    good = person(box_xyxy=np.array([1.0, 1, 9, 9]))
    assert reading.keep(good, "r", SIZE) is good
    assert reading.skipped == []


@pytest.mark.parametrize("keep_unlabelled", [False, True])
def test_a_person_without_joints(tmp_path, keep_unlabelled):
    reading = Reading("test", tmp_path, keep_unlabelled=keep_unlabelled)
    box = np.array([1.0, 1, 9, 9])
    assert (reading.keep(person(codes=(0, 0), box_xyxy=box), "boxed", SIZE) is not None) == keep_unlabelled
    assert (
        reading.keep(person(codes=(0, 0), segmentation=[[1, 1, 5, 1, 5, 5]]), "m", SIZE) is not None
    ) == keep_unlabelled
    assert reading.keep(person(codes=(0, 0)), "neither", SIZE) is None
    assert {s.reason for s in reading.skipped} == {NO_JOINTS}
    assert [s.record for s in reading.skipped] == (["neither"] if keep_unlabelled else ["boxed", "m", "neither"])


def test_a_crowd_stays_without_joints(reading):
    crowd = person(codes=(0, 0), is_crowd=True, box_xyxy=np.array([0.0, 0, 9, 9]))
    assert reading.keep(crowd, "r", SIZE) is crowd


@pytest.mark.parametrize("box", [(4, 4, 4, 9), (4, 4, 9, 4), (4, 4, 4, 4)])
@pytest.mark.parametrize("is_crowd", [False, True])
def test_a_box_without_area(reading, box, is_crowd):
    assert reading.keep(person(box_xyxy=np.array(box, dtype=float), is_crowd=is_crowd), "r", SIZE) is None
    assert [(s.reason, s.what, s.record) for s in reading.skipped] == [(ZERO_AREA, "person", "r")]


@pytest.mark.parametrize(
    ("point", "stays"),
    [
        ((-1.5, 5), True), ((-1.51, 5), False), ((5, -1.51), False),
        ((40.5, 5), True), ((40.51, 5), False), ((5, 30.5), True), ((5, 30.51), False),
    ],
)  # fmt: skip
def test_joints_outside_by_more_than_a_pixel_lose_their_label(reading, point, stays):
    kept = reading.keep(person(points=((5, 5), point)), "r", SIZE)
    assert kept is not None
    assert kept.labelled.tolist() == [True, stays]
    assert np.isnan(kept.keypoints_px[1]).all() != stays
    assert [(s.reason, s.what, s.count) for s in reading.skipped] == ([] if stays else [(OUTSIDE, "joints", 1)])


def test_a_person_whose_joints_are_all_outside_is_skipped(reading):
    assert reading.keep(person(points=((-9, 5), (99, 7))), "r", SIZE) is None
    assert [(s.reason, s.what, s.count) for s in reading.skipped] == [(OUTSIDE, "person", 1)]
    assert "(99.0, 7.0)" in reading.skipped[0].detail
    assert "40 x 30" in reading.skipped[0].detail


def test_joints_that_are_not_labelled_may_be_anywhere(reading):
    assert reading.keep(person(points=((5, 5), (-99, -99)), codes=(2, 0)), "r", SIZE) is not None
    assert reading.skipped == []


def test_without_a_size_only_the_near_edges_are_known(reading):
    kept = reading.keep(person(points=((9999, 5), (-9, 7))), "r", None)
    assert kept.labelled.tolist() == [True, False]


def test_tolerance_is_an_option(tmp_path):
    reading = Reading("test", tmp_path, tolerance_px=float("inf"))
    assert reading.keep(person(points=((-900, 5), (999, 7))), "r", SIZE).labelled.all()


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "b" * 300 + "/1.jpg", "null\0.jpg"])
def test_names_that_no_file_can_have_are_missing_files(tmp_path, name):
    (tmp_path / "images").mkdir()
    reading = Reading("test", tmp_path / "a.json")
    assert reading.find_image(name, "image 7", 3) is None
    assert [s.reason for s in reading.skipped] == [IMAGE_MISSING]


def test_images_are_checked_only_where_their_folder_is_known(tmp_path):
    unknown = Reading("test", tmp_path / "a.json")
    assert str(unknown.find_image("x/1.jpg", "r", 1).path) == "x/1.jpg"
    assert unknown.find_image(None, "r", 1).path is None
    (tmp_path / "images" / "x").mkdir(parents=True)
    known = Reading("test", tmp_path / "a.json")
    assert known.images == tmp_path / "images"
    assert known.find_image("x/1.jpg", "image 7", 3) is None
    assert [(s.reason, s.what, s.record) for s in known.skipped] == [(IMAGE_MISSING, "image", "image 7")]
    assert "3 persons" in known.skipped[0].detail
    assert known.find_image("y/1.jpg", "folder missing too", 0) is None
    Image.new("L", SIZE).save(tmp_path / "images" / "x" / "2.png")
    assert (
        Reading("test", tmp_path / "a.json").find_image("x/2.png", "r", 1).path == tmp_path / "images" / "x" / "2.png"
    )
    with pytest.raises(FormatError, match="not a folder"):
        Reading("test", tmp_path / "a.json", tmp_path / "nowhere")


def test_an_unreadable_image_is_skipped_where_its_size_is_needed(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    Image.new("L", SIZE).save(tmp_path / "good.png")
    reading = Reading("test", tmp_path, tmp_path, size_of=header_size)
    assert reading.find_image("good.png", "r", 1).size_wh == SIZE
    assert reading.find_image("bad.jpg", "bad", 1) is None
    assert reading.find_image("cut.png", "cut", 1) is None
    assert [(s.reason, s.record) for s in reading.skipped] == [(IMAGE_UNREADABLE, "bad"), (IMAGE_UNREADABLE, "cut")]
    assert "bad.jpg" in reading.skipped[0].detail


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_header_size_is_that_of_the_upright_photo(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", SIZE).save(path, exif=exif)
    assert header_size(path) == (SIZE[::-1] if orientation >= 5 else SIZE)


def test_the_report_counts_lists_and_prints(tmp_path):
    skipped = tuple(Skip(NO_JOINTS, "person", f"annotation {i}") for i in range(5))
    skipped += (Skip(OUTSIDE, "joints", "annotation 9", "joint 3", 2), Skip(OUTSIDE, "person", "annotation 10"))
    report = ReadReport("coco", tmp_path / "a.json", 3, 4, 50, skipped)
    assert report.counts() == {NO_JOINTS: {"person": 5}, OUTSIDE: {"joints": 2, "person": 1}}
    data = json.loads(json.dumps(report.to_dict()))
    assert data["images"], data["persons"] == (3, 4)
    assert [r["record"] for r in data["skipped"][NO_JOINTS]["records"]] == [f"annotation {i}" for i in range(5)]
    text = str(report)
    assert "3 images, 4 persons, 50 joints" in text
    assert "5 persons, annotation without joints (annotation 0; annotation 1; annotation 2; and 2 more)" in text
    assert "2 joints and 1 person, joints outside the image (annotation 9: joint 3; annotation 10)" in text
    assert set(report.counts()) <= set(REASONS)


def test_the_result_counts_what_is_kept(reading, make_records):
    from vitruvian.skeletons import COCO17

    records = make_records(COCO17)
    report = reading.result(records).report
    assert report.images == len(records)
    assert report.persons == sum(len(r.persons) for r in records)
    assert report.joints == sum((p.visibility > 0).sum() for r in records for p in r.persons)


def test_a_folder_in_place_of_a_file_names_what_is_inside(tmp_path):
    folder = tmp_path / "data"
    (folder / "annotations" / "deep").mkdir(parents=True)
    for name in ("b.json", "photo.jpg", ".c.json", "annotations/joints.MAT", "annotations/deep/d.json"):
        (folder / name).touch()
    for name in ("coco", "mpii", "lsp", "openpose", "yolo"):
        with pytest.raises(FormatError, match=r"did you mean one of those inside: annotations/joints.MAT, b.json\?"):
            read(name, folder)
    for i in range(9):
        (folder / f"a{i}.json").touch()
    with pytest.raises(FormatError, match=r"inside: a0.json, a1.json, .*, a5.json and 5 more\?"):
        read("coco", folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="it has no .json, .mat, .* inside"):
        read("coco", tmp_path / "empty")
    with pytest.raises(FormatError, match=r"b\.json: is not valid JSON") as caught:  # a file inside has the word
        read("coco", folder / "b.json")
    assert "inside" not in str(caught.value)
