"""The values that cross boundaries: what they normalise, refuse and convert to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.formats.rle import PackedMasks
from vitruvian.skeletons import COCO17, LSP14, VITRUVIAN19
from vitruvian.types import Person, Poses


def _poses(rng: np.random.Generator, count: int = 3, **changes: object) -> Poses:
    low = rng.uniform(0, 20, (count, 2))
    fields: dict = {
        "keypoints": rng.uniform(0, 64, (count, 17, 2)),
        "scores": rng.uniform(0, 1, (count, 17)),
        "boxes": np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], axis=1),
        "skeleton": COCO17,
        "size_wh": (64, 48),
    }
    return Poses(**(fields | changes))


def test_a_person_without_a_label_has_no_position() -> None:
    given = np.array([[1, 2], [0, 0], [3, 4]])
    person = Person(given, np.array([2, 0, 1]))
    np.testing.assert_array_equal(person.keypoints_px, [[1, 2], [np.nan, np.nan], [3, 4]])
    assert person.labelled.tolist() == [True, False, True]
    assert person.visibility.dtype == np.int8
    assert given.tolist() == [[1, 2], [0, 0], [3, 4]]  # the caller's array is left alone


@pytest.mark.parametrize(("points", "visibility"), [((3, 3), (3,)), ((3, 2), (2,)), ((6,), (3,)), ((3, 2), (3, 1))])
def test_a_person_of_other_shapes_is_refused(points: tuple, visibility: tuple) -> None:
    with pytest.raises(ShapeError, match="keypoints"):
        Person(np.ones(points), np.ones(visibility))


def test_poses_become_float32_with_box_scores_of_one(rng: np.random.Generator) -> None:
    poses = _poses(rng)
    assert len(poses) == 3
    for array in (poses.keypoints, poses.scores, poses.boxes, poses.box_scores):
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float32
    assert poses.box_scores is not None
    assert poses.box_scores.tolist() == [1, 1, 1]
    np.testing.assert_allclose(poses.person_scores, poses.scores.mean(axis=1))
    half = _poses(rng, box_scores=np.full(3, 0.5))
    np.testing.assert_allclose(half.person_scores, half.scores.mean(axis=1) / 2)


def test_nobody_is_a_result_too() -> None:
    poses = Poses(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4)), COCO17, (64, 48))
    assert len(poses) == 0
    assert poses.person_scores.shape == (0,)
    assert poses.to_coco() == []
    assert poses.to_rows() == []
    assert poses.to_skeleton(LSP14).keypoints.shape == (0, 14, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoints": np.zeros((3, 16, 2))},
        {"keypoints": np.zeros((3, 17, 3))},
        {"keypoints": np.zeros((2, 17, 2))},
        {"scores": np.zeros((3, 16))},
        {"scores": np.full((3, 17), 1.01)},
        {"scores": np.full((3, 17), -0.01)},
        {"scores": np.full((3, 17), np.nan)},
        {"box_scores": np.ones(2)},
        {"box_scores": np.full(3, 2.0)},
        {"ids": np.arange(2)},
        {"masks": np.zeros((3, 64, 48), bool)},  # width and height exchanged
        {"masks": np.zeros((2, 48, 64), bool)},
    ],
)
def test_poses_of_other_shapes_or_ranges_are_refused(changes: dict, rng: np.random.Generator) -> None:
    with pytest.raises(ShapeError):
        _poses(rng, **changes)


def test_select_keeps_every_field_in_step(rng: np.random.Generator) -> None:
    poses = _poses(
        rng,
        ids=np.array([7, 8, 9]),
        masks=rng.random((3, 48, 64)) < 0.5,
        box_scores=np.array([0.1, 0.2, 0.3]),
        path=Path("a.png"),
    )
    for index in ([2, 0], np.array([True, False, True]), slice(1, None), np.argsort(-poses.person_scores)):
        picked = poses.select(index)
        for name in ("keypoints", "scores", "boxes", "box_scores", "ids", "masks"):
            np.testing.assert_array_equal(getattr(picked, name), getattr(poses, name)[index])
        assert picked.path == poses.path
    assert len(poses.select([])) == 0


def test_select_picks_packed_masks_too(rng: np.random.Generator) -> None:
    masks = rng.random((3, 48, 64)) < 0.5
    packed = _poses(rng, masks=PackedMasks(masks))
    for index in ([2, 0], np.array([True, False, True]), slice(1, None), 1):
        picked = packed.select(index).masks
        assert isinstance(picked, PackedMasks)
        np.testing.assert_array_equal(np.stack(list(picked)), masks[index].reshape(-1, 48, 64))


def test_one_person_by_number_is_still_poses(rng: np.random.Generator) -> None:
    poses = _poses(rng, ids=np.array([7, 8, 9]))
    for index in (1, np.int64(1), -2):
        picked = poses.select(index)
        assert len(picked) == 1
        np.testing.assert_array_equal(picked.keypoints[0], poses.keypoints[1])
        np.testing.assert_array_equal(picked.ids, [8])


def test_another_skeleton_by_name_with_the_missing_marked(rng: np.random.Generator) -> None:
    poses = _poses(rng)
    wide = poses.to_skeleton(VITRUVIAN19)
    np.testing.assert_array_equal(wide.keypoints[:, :17], poses.keypoints)
    assert np.isnan(wide.keypoints[:, 17:]).all()
    assert (wide.scores[:, 17:] == 0).all()
    back = wide.to_skeleton(COCO17)
    np.testing.assert_array_equal(back.keypoints, poses.keypoints)
    lsp = poses.to_skeleton(LSP14)
    np.testing.assert_array_equal(
        lsp.keypoints[:, LSP14.index("left_knee")], poses.keypoints[:, COCO17.index("left_knee")]
    )


def test_coco_results_hold_the_numbers_and_are_json(rng: np.random.Generator) -> None:
    keypoints = rng.uniform(0, 64, (1, 17, 2))
    keypoints[0, 3] = np.nan
    poses = _poses(rng, 1, keypoints=keypoints, scores=np.full((1, 17), 0.25), boxes=np.array([[1, 2, 11, 22]]))
    (result,) = json.loads(json.dumps(poses.to_coco(image_id=42)))
    assert result["image_id"] == 42
    assert result["category_id"] == 1
    assert result["bbox"] == [1, 2, 10, 20]
    assert result["score"] == 0.25
    triplets = np.array(result["keypoints"]).reshape(17, 3)
    assert triplets[3].tolist() == [0, 0, 0]
    others = np.arange(17) != 3
    np.testing.assert_allclose(triplets[others, :2], keypoints[0, others], atol=1e-4)
    assert (triplets[others, 2] == 0.25).all()
    assert _poses(rng, 1, path=Path("folder/000123.jpg")).to_coco()[0]["image_id"] == 123
    assert _poses(rng, 1).to_coco()[0]["image_id"] == 0


def test_rows_are_one_a_joint(rng: np.random.Generator) -> None:
    poses = _poses(rng, 2, ids=np.array([5, 6]), path=Path("a.png"))
    rows = poses.to_rows()
    assert len(rows) == 34
    row = rows[17 + 4]
    assert (row["image"], row["person"], row["id"], row["joint"]) == ("a.png", 1, 6, "right_ear")
    assert (row["x_px"], row["y_px"]) == tuple(poses.keypoints[1, 4].tolist())
    assert row["score"] == float(poses.scores[1, 4])
    assert [row[k] for k in ("box_x0", "box_y0", "box_x1", "box_y1")] == poses.boxes[1].tolist()
    assert _poses(rng, 1).to_rows()[0]["id"] == -1


def test_dataframe_has_the_rows(rng: np.random.Generator) -> None:
    pytest.importorskip("pandas")
    poses = _poses(rng, 2)
    frame = poses.to_dataframe()
    assert frame.to_dict("records") == poses.to_rows()
