"""OpenPose's files: read as published, written from records and from found people, both ways consistent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.formats import openpose
from vitruvian.formats.openpose import to_body25
from vitruvian.formats.reading import IMAGE_MISSING, NO_JOINTS, OUTSIDE
from vitruvian.skeletons import BODY25, COCO17, LSP14, VITRUVIAN19
from vitruvian.types import Poses


def save(folder: Path, stem: str, *people, **top) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{stem}_keypoints.json"
    path.write_text(json.dumps({"version": 1.3, "people": list(people), **top}))
    return path


def person(rng: np.random.Generator, joints: int = 25, **fields) -> dict:
    triplets = np.concatenate([rng.uniform(2, 90, (joints, 2)), rng.uniform(0.01, 1, (joints, 1))], axis=1)
    return {"person_id": [-1], "pose_keypoints_2d": triplets.ravel().tolist(), "face_keypoints_2d": []} | fields


def test_body_25_files_are_read_as_they_are(tmp_path, rng):
    first, second = person(rng), person(rng, person_id=[4])
    first["pose_keypoints_2d"][9:12] = [0, 0, 0]
    save(tmp_path / "o", "b")
    save(tmp_path / "o", "a", first, second)
    a, b = openpose.read(tmp_path / "o").records
    assert (a.image_id, b.image_id, b.persons, a.skeleton, a.image_path) == ("a", "b", (), BODY25, None)
    assert [p.id for p in a.persons] == [None, 4]
    for found, row in zip(a.persons, (first, second), strict=True):
        triplets = np.array(row["pose_keypoints_2d"]).reshape(25, 3)
        placed = triplets[:, 2] > 0
        np.testing.assert_array_equal(found.visibility, np.where(placed, 2, 0))
        np.testing.assert_array_equal(found.keypoints_px[placed], triplets[placed, :2])
        assert found.extra["scores"] == triplets[:, 2].tolist()
    assert not a.persons[0].labelled[BODY25.index("right_elbow")]


def test_coco_18_files_are_read_by_joint_name(tmp_path, rng):
    row = person(rng, joints=18)
    (record,) = openpose.read(save(tmp_path, "x", row)).records
    (found,) = record.persons
    triplets = np.array(row["pose_keypoints_2d"]).reshape(18, 3)
    for k, joint in {0: "nose", 1: "neck", 4: "right_wrist", 8: "right_hip", 13: "left_ankle", 17: "left_ear"}.items():
        np.testing.assert_array_equal(found.keypoints_px[BODY25.index(joint)], triplets[k, :2])
    assert found.labelled.sum() == 18
    assert not found.labelled[[BODY25.index(j) for j in ("pelvis", "left_heel", "right_big_toe")]].any()


def test_records_survive_a_round_trip(tmp_path, rng, make_records, assert_same):
    records = []
    for record in make_records(BODY25, codes=(0, 2)):
        persons = []
        for i, p in enumerate(record.persons):
            scores = np.where(p.labelled, rng.uniform(0.01, 1, 25), 0).round(6).tolist()
            persons.append(replace(p, id=i, extra={"scores": scores}))
        records.append(replace(record, persons=tuple(persons)))
    back = openpose.read(openpose.write(records, tmp_path / "o")).records
    assert_same(back, records, 6e-5)
    for a, b in zip(back, records, strict=True):
        assert [(p.id, p.extra) for p in a.persons] == [(p.id, p.extra) for p in b.persons]


def test_found_people_can_be_read_back(tmp_path, rng):
    keypoints, scores = rng.uniform(0, 99, (2, 19, 2)), rng.uniform(0.01, 1, (2, 19))
    keypoints[0, 3], scores[0, 3] = np.nan, 0
    poses = Poses(keypoints, scores, np.tile([0.0, 0, 99, 99], (2, 1)), VITRUVIAN19, (100, 100), path=Path("x/a.jpg"))
    nobody = replace(poses.select([]), path=Path("x/b.jpg"))
    numbered = replace(poses, path=Path("y/a.jpg"), ids=np.array([7, 9]))
    files = openpose.write_poses([poses, nobody, numbered], tmp_path / "new")
    assert [f.name for f in files] == ["x__a_keypoints.json", "b_keypoints.json", "y__a_keypoints.json"]
    data = json.loads(files[0].read_text())
    assert data["version"] == 1.3
    assert [p["person_id"] for p in data["people"]] == [[-1], [-1]]
    assert data["people"][0]["hand_left_keypoints_2d"] == []
    assert json.loads(files[1].read_text())["people"] == []
    (record,) = openpose.read(files[2]).records
    assert [p.id for p in record.persons] == [7, 9]
    for n, found in enumerate(record.persons):
        for joint in VITRUVIAN19.joints:
            k, b = VITRUVIAN19.index(joint), (BODY25.joints.index(joint) if joint in BODY25.joints else None)
            if b is not None:
                np.testing.assert_allclose(found.keypoints_px[b], poses.keypoints[n, k], atol=1e-4)
        hips = poses.keypoints[n, [VITRUVIAN19.index("left_hip"), VITRUVIAN19.index("right_hip")]]
        np.testing.assert_allclose(found.keypoints_px[BODY25.index("pelvis")], hips.mean(axis=0), atol=1e-3)


def test_midpoints_are_made_only_where_the_skeleton_has_none(rng):
    keypoints, scores = rng.uniform(0, 99, (3, 17, 2)), rng.uniform(0.01, 1, (3, 17))
    ends = [COCO17.index("left_shoulder"), COCO17.index("right_shoulder")]
    keypoints[1, ends[0]], scores[1, ends[0]] = np.nan, 0
    out, out_scores = to_body25(keypoints, scores, COCO17)
    neck = BODY25.index("neck")
    np.testing.assert_allclose(out[0, neck], keypoints[0, ends].mean(axis=0))
    assert out_scores[0, neck] == scores[0, ends].min()
    assert np.isnan(out[1, neck]).all()
    assert out_scores[1, neck] == 0
    assert np.isnan(out[:, BODY25.index("left_heel")]).all()
    keypoints = rng.uniform(0, 99, (14, 2))
    out, _ = to_body25(keypoints, np.ones(14), LSP14)
    np.testing.assert_array_equal(out[neck], keypoints[LSP14.index("neck")])


def test_every_reason_to_skip(tmp_path, rng):
    low, none = person(rng), person(rng)
    none["pose_keypoints_2d"] = [0.0] * 75
    low["pose_keypoints_2d"][:2] = [900.0, 5.0]
    save(tmp_path, "a", none, low)
    save(tmp_path, "b", low)
    (tmp_path / "images").mkdir()
    Image.new("L", (100, 95)).save(tmp_path / "images" / "a.png")
    result = openpose.read(tmp_path)
    (record,) = result.records
    assert (record.image_path, record.size_wh) == (tmp_path / "images" / "a.png", (100, 95))
    assert record.persons[0].labelled.tolist() == [False] + [True] * 24
    assert result.report.counts() == {NO_JOINTS: {"person": 1}, OUTSIDE: {"joints": 1}, IMAGE_MISSING: {"image": 1}}
    assert result.report.skipped[0].record == "a_keypoints.json, person 0"


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"pose_keypoints_2d": None}, "pose_keypoints_2d", "missing"),
        ({"pose_keypoints_2d": [1.0] * 45}, "pose_keypoints_2d", "45 numbers, expected 75"),
        ({"pose_keypoints_2d": [1.0] * 74 + ["x"]}, "pose_keypoints_2d", "got str 'x' at position 74"),
        ({"pose_keypoints_2d": [5.0, 6.0, -1.0] * 25}, "pose_keypoints_2d", "confidences >= 0"),
        ({"pose_keypoints_2d": [0.5, 0.6, 0.9] * 25}, "pose_keypoints_2d", "--keypoint_scale 0"),
        ({"person_id": "x"}, "person_id", "whole number"),
    ],
)
def test_malformed_files_name_file_person_and_field(tmp_path, rng, change, field, says):
    path = save(tmp_path, "a", person(rng), person(rng) | change)
    with pytest.raises(FormatError, match=says) as error:
        openpose.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, "person 1", field)


def test_files_of_another_kind(tmp_path):
    with pytest.raises(FormatError, match="no files"):
        openpose.read(tmp_path)
    path = save(tmp_path, "a", people=None)
    with pytest.raises(FormatError, match="'people': is missing"):
        openpose.read(path)
    path.write_text('{"people": [')
    with pytest.raises(FormatError, match="truncated"):
        openpose.read(path)


def test_absent_joints_score_zero(tmp_path, rng):
    """OpenPose has no other sign; of models without a presence scores stay as they are."""
    keypoints = rng.uniform(1, 99, (1, 17, 2))
    poses = Poses(keypoints, np.full((1, 17), 0.9), np.array([[0, 0, 99, 99]]), COCO17, (100, 100), present_above=0.5)
    presence = np.where(np.arange(17) < 9, 0.8, 0.2)[None]
    for said, left in ((None, 17), (presence, 9)):
        (path,) = openpose.write_poses([replace(poses, presence=said)], tmp_path / str(left))
        triplets = np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
        names = [name for k, name in enumerate(COCO17.joints) if k < left]
        assert {BODY25.joints[k] for k in np.flatnonzero(triplets[:, 2])} >= {n for n in names if n in BODY25.joints}
        assert (triplets[BODY25.index("left_ankle"), 2] > 0) == (left == 17)
