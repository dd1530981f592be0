"""YOLO-pose: numbers as published, round trips, sizes from headers, and malformed lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.formats import yolo
from vitruvian.formats.reading import IMAGE_MISSING, IMAGE_UNREADABLE, NO_JOINTS, OTHER_CATEGORY, OUTSIDE, ZERO_AREA
from vitruvian.geometry import boxes
from vitruvian.skeletons import COCO17, LSP14, SKELETONS, Skeleton
from vitruvian.types import Person, Record

pytest.importorskip("yaml")

PAIR = "path: .\ntrain: images/train\nkpt_shape: [2, 3]\nnames: {0: person}\n"
SIZE = (200, 100)


def dataset(folder: Path, yaml: str = PAIR, **labels: str) -> Path:
    """A data set of images of `SIZE`; a label text of None gives an image without a label file."""
    (folder / "images" / "train").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "train").mkdir(parents=True, exist_ok=True)
    for stem, text in labels.items():
        Image.new("L", SIZE).save(folder / "images" / "train" / f"{stem}.jpg")
        if text is not None:
            (folder / "labels" / "train" / f"{stem}.txt").write_text(text)
    (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


def test_numbers_are_fractions_of_the_image(tmp_path):
    path = dataset(tmp_path, a="0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n\n", b=None)
    a, b = yolo.read(path).records
    assert (a.image_id, a.image_path, a.size_wh) == ("a", tmp_path / "images/train/a.jpg", SIZE)
    assert (b.persons, a.extra) == ((), {"split": "train"})
    (person,) = a.persons
    np.testing.assert_allclose(person.box_xyxy, [80, 30, 120, 70])
    np.testing.assert_allclose(person.keypoints_px[0], [50, 10])
    assert person.visibility.tolist() == [2, 0]


def test_the_size_is_that_of_the_upright_photo(tmp_path):
    path = dataset(tmp_path, a="0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", SIZE).save(tmp_path / "images/train/a.jpg", exif=exif)
    (record,) = yolo.read(path).records
    assert record.size_wh == (100, 200)
    np.testing.assert_allclose(record.persons[0].keypoints_px[0], [25, 20])


def test_without_visibility_a_joint_in_the_corner_is_missing(tmp_path):
    path = dataset(tmp_path, PAIR.replace("[2, 3]", "[2, 2]"), a="0 0.5 0.5 0.2 0.4 0.25 0.1 0 0\n")
    assert yolo.read(path).records[0].persons[0].visibility.tolist() == [2, 0]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_round_trip_without_opening_images(tmp_path, make_records, assert_same, skeleton):
    records = make_records(skeleton)
    sizes = {r.image_id: r.size_wh for r in records}
    path = yolo.write(records, tmp_path / "d")
    back = yolo.read(path, size_of=lambda image: sizes[image.stem]).records
    assert_same(back, records, 1e-5)
    for a, b in zip(back, records, strict=True):
        assert (a.skeleton, a.size_wh) == (skeleton, b.size_wh)
        for p, q in zip(a.persons, b.persons, strict=True):
            np.testing.assert_allclose(p.box_xyxy, q.box_xyxy, rtol=0, atol=1e-5)


def test_training_and_validation_data_are_written_one_after_the_other(tmp_path, make_records, assert_same):
    train, val = make_records(COCO17), make_records(COCO17, count=2)
    sizes = {("train", r.image_id): r.size_wh for r in train} | {("val", r.image_id): r.size_wh for r in val}
    yolo.write(train, tmp_path)
    path = yolo.write(val, tmp_path, split="val")

    def size_of(image: Path):
        return sizes[image.parent.name, image.stem]

    assert_same(yolo.read(path, split="val", size_of=size_of).records, val, 1e-5)
    both = yolo.read(tmp_path, size_of=size_of).records
    assert_same(both, train + val, 1e-5)
    assert [r.extra["split"] for r in both] == ["train"] * 4 + ["val"] * 2
    with pytest.raises(FormatError, match="no split 'test', only train, val"):
        yolo.read(path, split="test", size_of=size_of)


def test_every_reason_to_skip(tmp_path):
    good = "0 0.5 0.5 0.2 0.4 0.25 0.1 2 0.3 0.2 1\n"
    lines = [
        good,
        "1 0.5 0.5 0.2 0.4 0.25 0.1 2 0.3 0.2 1\n",
        "0 0.5 0.5 0.2 0.4 0 0 0 0 0 0\n",
        "0 0.5 0.5 0 0.4 0.25 0.1 2 0.3 0.2 1\n",
        "0 0.5 0.5 0.2 0.4 1.25 0.1 2 0.3 0.2 1\n",
        "0 0.5 0.5 0.2 0.4\n",
    ]
    yaml = PAIR.replace("{0: person}", "[person, dog]")
    path = dataset(tmp_path, yaml, a="".join(lines), bad=good)
    (tmp_path / "images/train/bad.jpg").write_bytes(b"no image")
    (tmp_path / "labels/train/gone.txt").write_text(good)
    result = yolo.read(path)
    assert [r.image_id for r in result.records] == ["a"]
    assert [p.labelled.tolist() for p in result.records[0].persons] == [[True, True], [False, True]]
    assert result.report.counts() == {
        OTHER_CATEGORY: {"annotation": 1},
        NO_JOINTS: {"person": 2},
        ZERO_AREA: {"person": 1},
        OUTSIDE: {"joints": 1},
        IMAGE_UNREADABLE: {"image": 1},
        IMAGE_MISSING: {"image": 1},
    }
    assert "gone" in next(s.record for s in result.report.skipped if s.reason == IMAGE_MISSING)
    assert next(s.record for s in result.report.skipped if s.reason == ZERO_AREA) == "a.txt, line 4"
    assert len(yolo.read(path, keep_unlabelled=True).records[0].persons) == 4


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("0 0.5 0.5 0.2 0.4 0.1 0.2 2", None, "has 8 numbers, expected 11"),
        ("0 0.5 0.5 0.2 0.4 0.1 0.2 2 0.3 x 1", "joint_1 y", "a finite number, got 'x'"),
        ("0 0.5 0.5 0.2 0.4 0.1 0.2 5 0.3 0.4 1", "joint_0 visibility", "0, 1 or 2, got 5"),
        ("0 0.5 nan 0.2 0.4 0.1 0.2 2 0.3 0.4 1", "cy", "got 'nan'"),
        ("0.5 0.5 0.5 0.2 0.4 0.1 0.2 2 0.3 0.4 1", "class", "whole number"),
        ("0 0.5 0.5 0.2 -0.4 0.1 0.2 2 0.3 0.4 1", "w", ">= 0"),
    ],
)
def test_malformed_lines_name_file_line_and_field(tmp_path, line, field, says):
    path = dataset(tmp_path, a="0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n" + line + "\n")
    with pytest.raises(FormatError, match=says) as error:
        yolo.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (
        tmp_path / "labels/train/a.txt",
        "line 2",
        field,
    )


@pytest.mark.parametrize(
    ("yaml", "field", "says"),
    [
        (PAIR.replace("kpt_shape: [2, 3]\n", ""), "kpt_shape", "missing"),
        (PAIR.replace("[2, 3]", "[2, 4]"), "kpt_shape", "2 or 3"),
        (PAIR.replace("[2, 3]", "two"), "kpt_shape", "2 finite numbers, got str 'two'"),
        (PAIR.replace("train:", "trains:"), "train", "missing"),
        (PAIR.replace("images/train", "[1]"), "train", "folder"),
        (PAIR.replace("{0: person}", "[cat, dog]"), "names", "named 'person'"),
        (PAIR + "flip_idx: [1, 1]\n", "flip_idx", "swap joints in pairs"),
        (PAIR + "kpt_names: {0: [nose]}\n", "kpt_names", "2 names"),
        (PAIR + "kpt_names: {0: [nose, left_eye]}\n", "kpt_names", "right_eye"),
        (PAIR + "flip_idx: [1, 0]\nkpt_names: {0: [nose, tail]}\n", "flip_idx", "disagrees"),
        ("[1, 2", None, "not valid YAML"),
        ("- a\n", None, "named fields"),
    ],
)
def test_a_malformed_yaml_file_names_the_field(tmp_path, yaml, field, says):
    path = dataset(tmp_path, yaml, a="")
    with pytest.raises(FormatError, match=says) as error:
        yolo.read(path)
    assert (error.value.path, error.value.field) == (path, field)


def test_joints_come_from_names_or_from_number_and_flips(tmp_path):
    def skeleton_of(yaml: str) -> Skeleton:
        return yolo.read(dataset(tmp_path, yaml, a="")).records[0].skeleton

    coco = PAIR.replace("[2, 3]", "[17, 3]") + f"flip_idx: {COCO17.flip.tolist()}\n"
    assert skeleton_of(coco) is COCO17
    assert skeleton_of(PAIR + "flip_idx: [1, 0]\n").joints == ("left_joint_0", "right_joint_0")
    assert skeleton_of(PAIR).joints == ("joint_0", "joint_1")
    assert skeleton_of(PAIR + "kpt_names: {0: [Left Hand, R_hand]}\n").joints == ("left_hand", "right_hand")
    path = dataset(tmp_path, PAIR, a="")
    given = Skeleton("g", ("a", "b"), (), (0.1, 0.1))
    assert yolo.read(path, skeleton=given).records[0].skeleton is given
    with pytest.raises(FormatError, match="2 joints, but the skeleton given, 'lsp14', has 14"):
        yolo.read(path, skeleton=LSP14)


def test_images_may_be_listed_or_elsewhere_or_in_folders(tmp_path):
    path = dataset(tmp_path, a="0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n", b="")
    (tmp_path / "list.txt").write_text("images/train/a.jpg\n./images/train/b.jpg\n\n")
    path.write_text(PAIR.replace("images/train", "list.txt"))
    assert [(r.image_id, len(r.persons)) for r in yolo.read(path).records] == [("a", 1), ("b", 0)]
    path.write_text(PAIR)
    (tmp_path / "images/train").rename(tmp_path / "photos")
    with pytest.raises(FormatError, match="images="):
        yolo.read(path)
    records = yolo.read(path, tmp_path / "photos").records
    assert [r.image_path for r in records] == [tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg"]
    assert len(records[0].persons) == 1
    nested = dataset(tmp_path / "n")
    for kind, name in (("images", "x.jpg"), ("labels", "x.txt")):
        (nested.parent / kind / "train" / "sub").mkdir()
        target = nested.parent / kind / "train" / "sub" / name
        target.write_text("0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n") if kind == "labels" else Image.new("L", SIZE).save(
            target
        )
    (record,) = yolo.read(nested).records
    assert (record.image_id, len(record.persons)) == ("sub/x", 1)


def test_images_of_all_splits_in_one_folder(tmp_path):
    """Each photo comes once, with its own split's labels; one that no split labels is nobody's, once."""
    person = "0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n"
    path = dataset(tmp_path, PAIR + "val: images/val\n", a=person, c=None)
    (tmp_path / "labels" / "val").mkdir()
    (tmp_path / "labels" / "val" / "b.txt").write_text(person)
    Image.new("L", SIZE).save(tmp_path / "images" / "train" / "b.jpg")
    (tmp_path / "images" / "train").rename(tmp_path / "photos")
    found = yolo.read(path, tmp_path / "photos").records
    assert [(r.extra["split"], r.image_id, len(r.persons)) for r in found] == [
        ("train", "a", 1), ("train", "c", 0), ("val", "b", 1),
    ]  # fmt: skip
    assert [r.image_id for r in yolo.read(path, tmp_path / "photos", split="val").records] == ["b", "c"]


def test_splits_that_use_the_same_names(tmp_path):
    person = "0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n"
    path = dataset(tmp_path, PAIR + "val: images/val\n", a=person, b=person)
    (tmp_path / "labels" / "train").rename(tmp_path / "labels" / "val")
    (tmp_path / "labels" / "train").mkdir()
    (tmp_path / "labels" / "train" / "a.txt").write_text("")
    (tmp_path / "images" / "train").rename(tmp_path / "photos")
    found = yolo.read(path, tmp_path / "photos", split="val").records
    assert [(r.image_id, len(r.persons)) for r in found] == [("a", 1), ("b", 1)]


def test_a_list_of_images_that_are_elsewhere(tmp_path):
    path = dataset(tmp_path, a="0 0.5 0.5 0.2 0.4 0.25 0.1 2 0 0 0\n", b="")
    (tmp_path / "list.txt").write_text("images/train/a.jpg\n./images/train/b.jpg\n")
    path.write_text(PAIR.replace("images/train", "list.txt"))
    (tmp_path / "images" / "train" / "a.jpg").rename(tmp_path / "images" / "a.jpg")
    (tmp_path / "images").rename(tmp_path / "photos")
    found = yolo.read(path, tmp_path / "photos").records
    assert [(r.image_path, len(r.persons)) for r in found] == [
        (tmp_path / "photos" / "a.jpg", 1), (tmp_path / "photos" / "train" / "b.jpg", 0),
    ]  # fmt: skip


def test_writing_refuses_what_the_format_cannot_hold(tmp_path, make_records):
    records = make_records(COCO17, people=[1])
    with pytest.raises(FormatError, match="no size"):
        yolo.write([replace(records[0], size_wh=None)], tmp_path)
    with pytest.raises(FormatError, match="several images"):
        yolo.write([records[0], replace(records[1], image_path=Path("x/im00001.png"))], tmp_path)
    with pytest.raises(FormatError, match="unknown split"):
        yolo.write(records, tmp_path, split="dev")
    empty = Person(np.zeros((17, 2)), np.zeros(17))
    with pytest.raises(FormatError, match="neither a box nor joints"):
        yolo.write([Record(Path("a.jpg"), "a", (9, 9), COCO17, (empty,))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_people_without_a_box_get_that_of_their_joints(tmp_path, make_records):
    (record,) = make_records(COCO17, count=1, people=[1], with_box=False)
    (back,) = yolo.read(yolo.write([record], tmp_path), size_of=lambda _: record.size_wh).records
    expected = boxes.around_points(record.persons[0].keypoints_px)
    np.testing.assert_allclose(back.persons[0].box_xyxy, expected, atol=1e-5)
