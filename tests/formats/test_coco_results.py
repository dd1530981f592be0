"""COCO results: detections for ``--boxes``, and keypoint results there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError
from vitruvian.formats import coco
from vitruvian.formats.coco import detections_of
from vitruvian.skeletons import COCO17, VITRUVIAN19
from vitruvian.types import PRESENT_ABOVE, Poses, Record

DETECTION = {"image_id": 36, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.5}


def write(tmp_path: Path, data) -> Path:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(data))
    return path


def test_detections_of_people_come_out_by_image(tmp_path):
    rows = [
        DETECTION,
        {**DETECTION, "image_id": "b", "category_id": 18},
        {**DETECTION, "bbox": [1.5, 2, 0, 4], "score": 1},
        {"image_id": 36.0, "bbox": [0, 0, 1, 1], "score": 0},
    ]
    found = coco.read_detections(write(tmp_path, rows))
    assert list(found) == [36, "b"]
    np.testing.assert_array_equal(found[36][0], [[10, 20, 40, 60], [1.5, 2, 1.5, 6], [0, 0, 1, 1]])
    np.testing.assert_array_equal(found[36][1], [0.5, 1, 0])
    assert found["b"][0].shape == (0, 4)
    assert coco.read_detections(write(tmp_path, rows), category_id=18)["b"][0].shape == (1, 4)


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"bbox": None}, "bbox", "missing"),
        ({"bbox": [1, 2, 3]}, "bbox", "4 finite numbers, got 3"),
        ({"bbox": [1, 2, -3, 4]}, "bbox", "sizes >= 0"),
        ({"score": None}, "score", "missing"),
        ({"score": 1.5}, "score", r"\[0, 1\], got 1.5"),
        ({"score": "0.5"}, "score", "got str"),
        ({"image_id": None}, "image_id", "missing"),
    ],
)
def test_malformed_detections_name_the_entry(tmp_path, change, field, says):
    path = write(tmp_path, [DETECTION, {**DETECTION, **change}])
    with pytest.raises(FormatError, match=says) as error:
        coco.read_detections(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, "entry 1", field)


def test_an_annotation_file_is_not_taken_for_detections(tmp_path):
    with pytest.raises(FormatError, match="annotation file"):
        coco.read_detections(write(tmp_path, {"annotations": []}))
    with pytest.raises(FormatError, match="expected a list of detections .*, got int 5"):
        coco.read_detections(write(tmp_path, 5))


@pytest.mark.parametrize("key", ["x/000000000036.jpg", "000000000036.jpg", "000000000036", 36, "36"])
def test_an_image_is_found_by_any_of_its_names(key):
    here = (np.zeros((1, 4)), np.ones(1))
    other = (np.zeros((2, 4)), np.ones(2))
    assert detections_of({35: other, key: here, "37.jpg": other}, Path("x/000000000036.jpg")) is here
    assert detections_of({35: other}, "x/000000000036.jpg") is None


def test_names_of_an_annotation_file_come_first():
    here, other = (np.zeros((1, 4)), np.ones(1)), (np.zeros((2, 4)), np.ones(2))
    assert detections_of({7: here, 36: other}, "x/36.jpg", {7: "images/36.jpg", 36: "images/40.jpg"}) is here


def random_poses(rng: np.random.Generator, path: Path | None) -> Poses:
    count = int(rng.integers(1, 4))
    keypoints = rng.uniform(1, 300, (count, 17, 2))
    scores = rng.uniform(0.01, 1, (count, 17))
    missing = rng.random((count, 17)) < 0.2
    keypoints[missing], scores[missing] = np.nan, 0
    low = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 200, (count, 2))], axis=1)
    return Poses(keypoints, scores, boxes, COCO17, (300, 310), rng.uniform(0.1, 1, count), path)


def test_keypoint_results_survive_a_round_trip(tmp_path, rng):
    poses = [random_poses(rng, tmp_path / f"{i}.jpg") for i in range(4)]
    path = coco.write_results(poses, tmp_path / "out" / "r.json", image_ids=[3, "b", 5, 6])
    records = [Record(tmp_path / "0.jpg", 3, (300, 310), COCO17)]
    back = coco.read_results(path, COCO17, records=records)
    assert list(back) == [3, "b", 5, 6]
    assert (back[3].size_wh, back[3].path) == ((300, 310), tmp_path / "0.jpg")
    assert back["b"].path is None
    for a, b in zip(back.values(), poses, strict=True):
        np.testing.assert_allclose(a.keypoints, b.keypoints, rtol=0, atol=1e-4)
        np.testing.assert_allclose(a.scores, b.scores, rtol=0, atol=1e-4)
        np.testing.assert_allclose(a.boxes, b.boxes, rtol=0, atol=2e-3)
        np.testing.assert_allclose(a.person_scores, b.person_scores, rtol=0, atol=1e-4)
        if a is not back[3]:  # no record tells the size, so it is the smallest that holds everything
            extent = np.nanmax(np.concatenate([a.keypoints.reshape(-1, 2), a.boxes.reshape(-1, 2)]), axis=0)
            slack = np.array(a.size_wh) - 0.5 - extent
            assert ((slack > -1e-3) & (slack < 1 + 1e-3)).all()


def test_images_of_one_name_keep_their_own_results(tmp_path, rng):
    poses = [random_poses(rng, Path(p)) for p in ("a/1.jpg", "b/1.jpg", "a/2.jpg")]
    rows = json.loads(coco.write_results(poses, tmp_path / "r.json").read_text())
    assert [row["image_id"] for row in rows] == [
        n for n, p in zip(["a__1", "b__1", 2], poses, strict=True) for _ in range(len(p))
    ]
    with pytest.raises(FormatError, match="2 image ids for 3 images"):
        coco.write_results(poses, tmp_path / "r.json", image_ids=[1, 2])


def test_malformed_results_name_the_entry(tmp_path, rng):
    rows = random_poses(rng, None).to_coco(1)[:1]
    for change, skeleton, field, says in (
        ({}, VITRUVIAN19, "keypoints", "57 finite numbers, got 51"),
        ({"keypoints": [1, 2, 3.5] * 17}, COCO17, "keypoints", "clip_scores=True"),
        ({"score": 7}, COCO17, "score", "got 7"),
        ({"keypoints": [0] * 51, "bbox": None}, COCO17, "keypoints", "no joint at all"),
    ):
        path = write(tmp_path, [*rows, {**rows[0], **change}] if skeleton is COCO17 else rows)
        with pytest.raises(FormatError, match=says) as error:
            coco.read_results(path, skeleton)
        assert (error.value.path, error.value.field) == (path, field)
        assert error.value.record == ("entry 1" if skeleton is COCO17 else "entry 0")
    clipped = coco.read_results(write(tmp_path, [{**rows[0], "keypoints": [1, 2, 3.5] * 17}]), COCO17, clip_scores=True)
    assert (clipped[1].scores == 1).all()


def test_results_without_boxes_get_those_around_the_joints(tmp_path, rng):
    row = replace(random_poses(rng, None), box_scores=None).to_coco(1)[0]
    del row["bbox"]
    found = coco.read_results(write(tmp_path, [row]), COCO17)[1]
    np.testing.assert_allclose(found.boxes[0, :2], np.nanmin(found.keypoints[0], axis=0))
    np.testing.assert_allclose(found.boxes[0, 2:], np.nanmax(found.keypoints[0], axis=0))


def test_presence_survives_a_round_trip(tmp_path, rng):
    """Where everybody in an image has it; so does the limit, and with both who is present."""
    found = [replace(random_poses(rng, Path(f"{i}.jpg")), box_scores=None) for i in (1, 2)]
    found[0] = replace(found[0], presence=rng.uniform(0, 1, found[0].scores.shape).round(4), present_above=0.6)
    back = coco.read_results(coco.write_results(found, tmp_path / "a.json"), found[0].skeleton)
    first, second = back[1], back[2]
    np.testing.assert_array_equal(first.presence, found[0].presence)
    known = np.isfinite(found[0].keypoints).all(2)
    np.testing.assert_array_equal(first.shown()[known], found[0].shown()[known])
    assert second.presence is None
    assert second.present_above == PRESENT_ABOVE
