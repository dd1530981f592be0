"""COCO annotations: round trips, malformed files, and the real files where they exist."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from vitruvian.errors import FormatError
from vitruvian.formats import coco, rle
from vitruvian.formats.reading import IMAGE_MISSING, NO_JOINTS, OTHER_CATEGORY, OUTSIDE, ZERO_AREA
from vitruvian.geometry import boxes
from vitruvian.skeletons import COCO17, LSP14, SKELETONS, Skeleton
from vitruvian.types import Person, Record

GOOD = {
    "images": [{"id": 3, "file_name": "a.jpg", "width": 100, "height": 80, "boxes_complete": True}, {"id": "b"}],
    "annotations": [
        {
            "id": 11, "image_id": 3, "category_id": 1, "iscrowd": 0, "num_keypoints": 2,
            "keypoints": [1, 2, 2, 30.5, 40, 1] + [0] * 45, "bbox": [1, 2, 40, 50], "area": 900.5,
            "segmentation": [[1, 2, 30, 2, 30, 40]], "mood": "fine",
        },
    ],
    "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": [[1, 2]]}],
}  # fmt: skip


ROW, FIRST = "annotation 11", ("annotations", 0)


def write(tmp_path: Path, data) -> Path:
    path = tmp_path / "a.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def changed(change) -> dict:
    data = copy.deepcopy(GOOD)
    change(data)
    return data


def test_what_a_file_says_is_what_comes_out(tmp_path):
    result = coco.read(write(tmp_path, GOOD))
    first, second = result.records
    assert (first.image_id, str(first.image_path), first.size_wh, first.skeleton) == (3, "a.jpg", (100, 80), COCO17)
    assert first.extra == {"boxes_complete": True}
    assert (second.image_id, second.image_path, second.size_wh, second.persons) == ("b", None, None, ())
    (person,) = first.persons
    np.testing.assert_array_equal(person.keypoints_px[:2], [[1, 2], [30.5, 40]])
    assert np.isnan(person.keypoints_px[2:]).all()
    assert person.visibility.tolist() == [2, 1] + [0] * 15
    np.testing.assert_array_equal(person.box_xyxy, [1, 2, 41, 52])
    assert (person.area_px, person.id, person.is_crowd, person.extra) == (900.5, 11, False, {"mood": "fine"})
    assert person.segmentation == [[1, 2, 30, 2, 30, 40]]
    assert (result.report.images, result.report.persons, result.report.joints, result.report.skipped) == (2, 1, 2, ())


def test_everything_survives_a_round_trip(tmp_path, rng, make_records, assert_same):
    for skeleton in SKELETONS.values():
        records = []
        for record in make_records(skeleton):
            mask = rng.random(record.size_wh[::-1]) < 0.5
            runs = rle.encode(mask)
            masks = [runs, {**runs, "counts": rle.compress(runs["counts"])}, [rng.uniform(0, 20, 8).tolist()], None]
            persons = tuple(
                replace(
                    person,
                    segmentation=masks[rng.integers(4)],
                    area_px=float(rng.uniform(1, 900)),
                    is_crowd=bool(rng.random() < 0.3),
                    head_box_xyxy=rng.uniform(0, 20, 4) if rng.random() < 0.5 else None,
                    extra={"note": [1, 2]},
                )
                for person in record.persons
            )
            records.append(replace(record, persons=persons, extra={"license": 3}))
        back = coco.read(coco.write(records, tmp_path / "b.json")).records
        assert_same(back, records)
        for a, b in zip(back, records, strict=True):
            assert (a.image_id, a.image_path, a.size_wh, a.extra) == (b.image_id, b.image_path, b.size_wh, b.extra)
            assert a.skeleton is skeleton
            for p, q in zip(a.persons, b.persons, strict=True):
                np.testing.assert_allclose(p.box_xyxy, q.box_xyxy, rtol=0, atol=1e-9)
                assert (p.head_box_xyxy is None) == (q.head_box_xyxy is None)
                if p.head_box_xyxy is not None:
                    np.testing.assert_array_equal(p.head_box_xyxy, q.head_box_xyxy)
                assert (p.area_px, p.segmentation, p.is_crowd, p.extra) == (
                    q.area_px,
                    q.segmentation,
                    q.is_crowd,
                    q.extra,
                )


def test_ids_are_kept_and_new_ones_do_not_collide(tmp_path, make_records):
    (record,) = make_records(COCO17, count=1, people=[3])
    persons = tuple(replace(p, id=i) for p, i in zip(record.persons, [None, 1, None], strict=True))
    path = coco.write([replace(record, persons=persons)], tmp_path / "a.json")
    ids = [row["id"] for row in json.loads(path.read_text())["annotations"]]
    assert ids[1] == 1
    assert len(set(ids)) == 3


def test_pycocotools_reads_what_is_written(tmp_path, make_records):
    records = make_records(COCO17, people=[1, 2])
    theirs = COCO(str(coco.write(records, tmp_path / "a.json")))
    for record in records:
        rows = theirs.loadAnns(theirs.getAnnIds(imgIds=[record.image_id]))
        assert [row["num_keypoints"] for row in rows] == [int(p.labelled.sum()) for p in record.persons]
    (category,) = theirs.loadCats(theirs.getCatIds())
    assert category["keypoints"] == list(COCO17.joints)
    assert category["skeleton"] == [[a + 1, b + 1] for a, b in COCO17.edges]


def test_file_names_start_from_the_folder_of_images(tmp_path, make_records):
    images = tmp_path / "images"
    records = make_records(COCO17, images=images / "sub", people=[1])
    path = coco.write(records, tmp_path / "a.json")
    assert {row["file_name"] for row in json.loads(path.read_text())["images"]} == {
        f"sub/im{i:05d}.jpg" for i in range(1, 5)
    }
    assert [r.image_path for r in coco.read(path).records] == [r.image_path for r in records]
    moved = tmp_path / "elsewhere" / "a.json"
    coco.write(records, moved, images=images / "sub")
    assert [r.image_path for r in coco.read(moved, images / "sub").records] == [r.image_path for r in records]
    records[1].image_path.unlink()
    result = coco.read(path)
    assert len(result.records) == 3
    assert result.report.counts() == {IMAGE_MISSING: {"image": 1}}
    assert "sub/im00002.jpg" in result.report.skipped[0].record


def test_a_skeleton_of_ones_own_needs_no_code(tmp_path):
    data = changed(
        lambda d: d["categories"][0].update(
            name="dancer", keypoints=["Nose", "LeftHand", "RightHand"], skeleton=[[1, 2], [1, 3]]
        )
    )
    data["annotations"][0]["keypoints"] = [1, 2, 2, 3, 4, 2, 5, 6, 1]
    (record, _) = coco.read(write(tmp_path, data)).records
    assert record.skeleton.joints == ("nose", "left_hand", "right_hand")
    assert record.skeleton.edges == ((0, 1), (0, 2))
    assert record.skeleton.name == "dancer"
    assert record.persons[0].visibility.tolist() == [2, 2, 1]


def test_every_reason_to_skip(tmp_path):
    data = copy.deepcopy(GOOD)
    base = data["annotations"][0]
    data["categories"].append({"id": 2, "name": "dog"})
    data["annotations"] += [
        {**base, "id": 12, "keypoints": [0] * 51},
        {**base, "id": 13, "bbox": [1, 2, 0, 50]},
        {**base, "id": 14, "keypoints": [1, 2, 2, 200, 40, 2] + [0] * 45},
        {**base, "id": 15, "keypoints": [-50, 2, 2, 200, 40, 2] + [0] * 45},
        {**base, "id": 16, "keypoints": [0] * 51, "iscrowd": 1, "segmentation": {"size": [80, 100], "counts": [8000]}},
        {**base, "id": 17, "category_id": 2},
    ]
    del data["annotations"][1]["bbox"]
    del data["annotations"][1]["segmentation"]
    result = coco.read(write(tmp_path, data))
    assert [p.id for p in result.records[0].persons] == [11, 14, 16]
    assert result.report.counts() == {
        NO_JOINTS: {"person": 1},
        ZERO_AREA: {"person": 1},
        OUTSIDE: {"joints": 1, "person": 1},
        OTHER_CATEGORY: {"annotation": 1},
    }
    assert {s.reason: s.record for s in result.report.skipped}[NO_JOINTS] == "image 3 (a.jpg), annotation 12"
    assert "dog" in next(s.record for s in result.report.skipped if s.reason == OTHER_CATEGORY)


def test_keep_unlabelled_keeps_boxes_without_joints(tmp_path):
    data = changed(lambda d: d["annotations"][0].update(keypoints=[0] * 51))
    assert coco.read(write(tmp_path, data)).records[0].persons == ()
    (person,) = coco.read(write(tmp_path, data), keep_unlabelled=True).records[0].persons
    assert not person.labelled.any()


def test_a_file_of_boxes_alone_needs_a_skeleton(tmp_path):
    data = changed(lambda d: (d["categories"][0].pop("keypoints"), d["annotations"][0].pop("keypoints")))
    path = write(tmp_path, data)
    with pytest.raises(FormatError, match="skeleton="):
        coco.read(path)
    (record, _) = coco.read(path, skeleton=LSP14, keep_unlabelled=True).records
    assert record.persons[0].visibility.shape == (14,)


def _set(*keys, value):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def _drop(*keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "record", "field", "says"),
    [
        (_drop("images"), None, "images", "missing"),
        (_drop("categories"), None, "categories", "missing"),
        (_set("annotations", value={}), None, "annotations", "a list"),
        (_set(*FIRST, value=5), "annotation 0", None, "named fields"),
        (_drop(*FIRST, "image_id"), ROW, "image_id", "missing"),
        (_drop(*FIRST, "category_id"), ROW, "category_id", "missing"),
        (_set(*FIRST, "image_id", value=99), ROW, "image_id", "refers to image 99"),
        (_set(*FIRST, "category_id", value=9), ROW, "category_id", "refers to category 9"),
        (_set(*FIRST, "keypoints", value=[1, 2, 2]), ROW, "keypoints", "51 finite numbers, got 3"),
        (_set(*FIRST, "keypoints", 4, value="x"), ROW, "keypoints", "got str 'x' at position 4"),
        (_set(*FIRST, "keypoints", 2, value=3), ROW, "keypoints", "0, 1 or 2, got 3 for 'nose'"),
        (_set(*FIRST, "bbox", value=[1, 2, 3]), ROW, "bbox", "4 finite numbers, got 3"),
        (_set(*FIRST, "bbox", 2, value=-4), ROW, "bbox", "sizes >= 0"),
        (_set(*FIRST, "bbox", 2, value=None), ROW, "bbox", "NoneType None"),
        (_set(*FIRST, "area", value="big"), ROW, "area", "got str 'big'"),
        (_set(*FIRST, "iscrowd", value=7), ROW, "iscrowd", "0 or 1"),
        (_set(*FIRST, "segmentation", value=[[1, 2, 3, 4]]), ROW, "segmentation", "three or more"),
        (_set(*FIRST, "segmentation", value={"size": [80, 100]}), ROW + ", segmentation", "counts", "missing"),
        (_set(*FIRST, "segmentation", value="x"), ROW, "segmentation", "polygons or run lengths"),
        (_set("images", 1, "id", value=3), "image 1", "id", "twice"),
        (_set("images", 0, "width", value=-1), "image 0", "width", "positive"),
        (_set("images", 0, "file_name", value=7), "image 0", "file_name", "text"),
        (_set("categories", 0, "keypoints", value=[]), "category 0", "keypoints", "missing|joint names"),
        (_set("categories", 0, "keypoints", value=["nose", "left_eye"]), "category 0", "keypoints", "right_eye"),
        (_set("categories", 0, "keypoints", value=["a", "b", "c"]), "category 0", "skeleton", "edge"),
        (_set("categories", value=[]), None, "categories", "person"),
    ],
)  # fmt: skip
def test_malformed_files_name_file_record_and_field(tmp_path, change, record, field, says):
    data = changed(change)
    if field == "skeleton":
        data["categories"][0]["skeleton"] = [[1, 4]]
    path = write(tmp_path, data)
    with pytest.raises(FormatError, match=says) as error:
        coco.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, record, field)
    assert str(path) in str(error.value)


def test_a_truncated_file_and_a_results_file_say_so(tmp_path):
    text = json.dumps(GOOD)
    with pytest.raises(FormatError, match="not valid JSON"):
        coco.read(write(tmp_path, text[: len(text) // 2]))
    with pytest.raises(FormatError, match="read_detections"):
        coco.read(write(tmp_path, []))


def test_one_category_is_chosen_among_several(tmp_path):
    data = changed(lambda d: d["categories"].append({"id": 2, "name": "ape", "keypoints": ["nose"]}))
    data["annotations"].append({"id": 12, "image_id": 3, "category_id": 2, "keypoints": [4, 5, 2]})
    path = write(tmp_path, data)
    assert [p.id for p in coco.read(path).records[0].persons] == [11]
    assert [p.id for p in coco.read(path, category="ape").records[0].persons] == [12]
    with pytest.raises(FormatError, match="category="):
        coco.read(path, category="dog")
    data["categories"][0]["name"] = "monkey"
    with pytest.raises(FormatError, match="exactly one"):
        coco.read(write(tmp_path, data))


def test_writing_refuses_what_it_cannot_hold(tmp_path, make_records):
    records = make_records(COCO17)
    with pytest.raises(FormatError, match="twice"):
        coco.write([records[0], records[0]], tmp_path / "a.json")
    with pytest.raises(FormatError, match="remap"):
        coco.write(records + make_records(LSP14), tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_custom_skeleton_survives_with_its_sigmas(tmp_path):
    mine = Skeleton("mine", ("nose", "tail"), ((0, 1),), (0.026, 0.072))
    person = Person(np.array([[1.0, 2], [3, 4]]), np.array([2, 1]))
    path = coco.write([Record(None, 5, None, mine, (person,))], tmp_path / "a.json", category="cat")
    (back,) = coco.read(path).records
    assert (back.skeleton.joints, back.skeleton.edges, back.skeleton.sigmas) == (mine.joints, mine.edges, mine.sigmas)
    assert (back.image_id, back.image_path) == (5, None)


# --- the real files ------------------------------------------------------------------------------------------------


def test_the_real_lspet_training_file(shared_data):
    result = coco.read(shared_data / "photos/lspet/train/person_keypoints_train.json")
    assert (result.report.images, result.report.persons) == (8498, 8498)
    assert set(result.report.counts()) <= {OUTSIDE}
    assert {r.skeleton for r in result.records} == {LSP14}
    assert all(r.image_path.parent == shared_data / "photos/lspet/train/images" for r in result.records)


def test_the_real_coco_file_has_its_masks(shared_data):
    result = coco.read(shared_data / "photos/coco/train/person_keypoints_train2017.json")
    assert result.report.images == 78
    assert {r.skeleton for r in result.records} == {COCO17}
    people = [(r, p) for r in result.records for p in r.persons if p.labelled.sum() >= 5]
    masked = [(r, p) for r, p in people if p.segmentation is not None]
    assert (len(people), len(masked)) == (197, 171)
    assert sum(p.is_crowd for r in result.records for p in r.persons) == 4
    assert result.report.persons + len(result.report.skipped) == 345
    assert set(result.report.counts()) == {NO_JOINTS}
    everyone = coco.read(shared_data / "photos/coco/train/person_keypoints_train2017.json", keep_unlabelled=True)
    assert (everyone.report.persons, everyone.report.skipped) == (345, ())
    ratios = []
    for record, person in masked:
        mask = rle.to_mask(person.segmentation, record.size_wh)
        ratios.append(mask.sum() / person.area_px)
        y, x = np.nonzero(mask)
        extent = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]])
        assert boxes.iou(extent, person.box_xyxy[None])[0, 0] > 0.8
    assert np.median(ratios) == pytest.approx(1, abs=0.01)  # a few polygons were simplified


def test_ids_that_come_twice_are_replaced(tmp_path):
    """MPII counts people anew in every image; in COCO an annotation's id is its own."""
    person = Person(np.array([[1.0, 2.0]]), np.array([2]), box_xyxy=np.array([0.0, 0.0, 5.0, 5.0]), id=0)
    skeleton = Skeleton("one", ("nose",), (), (0.1,))
    records = [Record(None, i, (9, 9), skeleton, (person, person)) for i in (1, 2)]
    coco.write(records, tmp_path / "a.json")
    ids = [row["id"] for row in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["annotations"]]
    assert len(set(ids)) == 4
    assert ids[0] == 0
