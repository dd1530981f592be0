"""PCK, PCKh, AUC and EPE: hand-made people, written-out loops, and invariances."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.metrics.pck import (
    LIMBS12,
    auc_result,
    epe_result,
    normalised_distances,
    pck,
    pck_auc,
    pck_fallback_result,
    pck_result,
    pckh_result,
)
from vitruvian.metrics.scales import TORSO_FALLBACK
from vitruvian.skeletons import BODY25, COCO17, LSP14, MPII16, VITRUVIAN19, Skeleton


def _standing(skeleton: Skeleton, torso_px: float = 100.0) -> np.ndarray:
    """(K, 2) a person whose left shoulder and right hip are ``torso_px`` apart."""
    keypoints = np.stack([np.linspace(50, 250, len(skeleton)), np.linspace(30, 400, len(skeleton))], axis=1)
    keypoints[skeleton.index("left_shoulder")] = (200, 100)
    keypoints[skeleton.index("right_hip")] = np.array([200, 100]) + torso_px * np.array([-0.6, 0.8])
    return keypoints


# ------------------------------------------------------------------------------------------------ closed forms
def test_limbs12_is_lsp_without_neck_and_head_top() -> None:
    assert set(LIMBS12) == set(LSP14.joints) - {"neck", "head_top"}
    assert len(LIMBS12) == 12


def test_half_of_the_limbs_right(make_record, make_poses) -> None:
    """Torso 100 px, so PCK@0.2 allows 20 px: six limbs off by 19.9 are right, six off by 20.1 are wrong."""
    truth = _standing(LSP14)
    pred = truth.copy()
    for i, joint in enumerate(LIMBS12):
        pred[LSP14.index(joint)] += (19.9 if i % 2 == 0 else 20.1) * np.array([math.cos(i), math.sin(i)])
    result = pck_result([make_record(LSP14, truth)], [make_poses(LSP14, pred)])
    assert result.value == 0.5
    assert result.details["mean_joint"] == result.details["pooled"] == 0.5
    rows = {row["joint"]: row for row in result.table}
    assert [rows[j]["value"] for j in LIMBS12] == [1.0, 0.0] * 6
    assert {j for j, row in rows.items() if row["in_mean"]} == set(LIMBS12)
    assert rows["neck"]["value"] == 1.0  # in the table, not in the mean


def test_mean_of_joints_and_pooled_differ_as_they_should() -> None:
    """Joint 0 is labelled three times and always right, joint 1 once and wrong: 1/2 and 3/4."""
    truth, pred = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    pred[0, 1] = 9.0
    visible = np.array([[True, True], [True, False], [True, False]])
    scores = pck(pred, truth, visible, 10.0, (0.2,))
    assert scores.per_joint.tolist() == [[1.0, 0.0]]
    assert scores.count.tolist() == [3, 1]
    assert scores.mean_joint[0] == 0.5
    assert scores.pooled[0] == 0.75


def test_a_distance_equal_to_the_threshold_is_right_unless_strict() -> None:
    truth, pred, seen = np.zeros((1, 1, 2)), np.array([[[3.0, 4.0]]]), np.array([[True]])
    assert pck(pred, truth, seen, 10.0, (0.5,)).pooled[0] == 1
    assert pck(pred, truth, seen, 10.0, (0.5,), strict=True).pooled[0] == 0


def test_pckh_is_mpiis(make_record, make_poses) -> None:
    """A head box of 30 x 40 px gives 0.6 x 50 = 30 px, half of it is 15 px; pelvis and thorax are not in the mean."""
    truth = np.round(_standing(MPII16))  # whole pixels, which float32 keeps exactly
    pred = truth.copy()
    pred[MPII16.index("pelvis")] += 500
    pred[MPII16.index("thorax")] += 500
    pred[MPII16.index("left_knee")] += (9.0, 12.0)  # exactly 15 px
    pred[MPII16.index("left_wrist")] += (9.1, 12.1)
    result = pckh_result(
        [make_record(MPII16, truth, head_box_xyxy=[np.array([100.0, 20.0, 130.0, 60.0])])], [make_poses(MPII16, pred)]
    )
    assert result.value == pytest.approx(13 / 14)
    assert result.details["headline"] == "pooled"
    wrong = {row["joint"] for row in result.table if row["value"] == 0}
    assert wrong == {"pelvis", "thorax", "left_wrist"}
    assert {row["joint"] for row in result.table if not row["in_mean"]} == {"pelvis", "thorax"}


def test_auc_is_the_integral_of_the_curve(rng: np.random.Generator) -> None:
    assert pck_auc(np.array([[0.0], [0.25], [0.5], [9.0], [np.inf], [np.nan]]), 0.5)[0].tolist() == [1.5 / 5]
    distances = rng.exponential(0.3, (200, 4))
    distances[rng.random((200, 4)) < 0.2] = np.nan
    exact, count = pck_auc(distances, 0.5)
    grid = (np.arange(2000) + 0.5) / 2000 * 0.5
    curve = np.array([(distances <= t).sum(axis=0) for t in grid]) / count
    np.testing.assert_allclose(exact, curve.mean(axis=0), atol=1e-3)


def test_auc_has_both_averages(make_record, make_poses) -> None:
    """Elbow: labelled three times, always exact. Wrist: once, at half the curve's end. 3/4 and 7/8."""
    truth = np.full((3, 14, 2), np.nan)
    truth[:, LSP14.index("left_elbow")] = 10
    truth[0, LSP14.index("left_wrist")] = 20
    pred = np.nan_to_num(truth)
    pred[0, LSP14.index("left_wrist"), 0] += 5
    for headline, value in (("mean_joint", 3 / 4), ("pooled", 7 / 8)):
        result = auc_result(
            [make_record(LSP14, truth)], [make_poses(LSP14, pred)], scale=np.full(3, 20.0), headline=headline
        )
        assert result.value == pytest.approx(value)


def test_epe_of_known_distances(make_record, make_poses) -> None:
    truth = _standing(LSP14, torso_px=50.0)
    pred = truth.copy()
    pred[0] += (3.0, 4.0)
    pred[1] += (6.0, 8.0)
    pred[2] = np.nan
    result = epe_result([make_record(LSP14, truth)], [make_poses(LSP14, pred)])
    assert result.value == pytest.approx(15 / 13, abs=1e-5)  # the unpredicted joint has no distance ...
    assert result.details["missing"] == 1  # ... and is counted
    assert result.details["median_px"] == pytest.approx(0, abs=1e-5)
    assert result.details["mean_normalised"] == pytest.approx(15 / 13 / 50, abs=1e-6)
    assert result.table[0]["value"] == pytest.approx(5, abs=1e-5)
    assert result.table[2] == {
        "joint": "right_hip", "value": None, "median_px": None, "mean_normalised": None, "median_normalised": None,
        "count": 0, "missing": 1, "in_mean": True,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ oracle, invariances
def _random_people(rng: np.random.Generator, people: int, joints: int):
    truth = rng.uniform(0, 300, (people, joints, 2))
    pred = truth + rng.normal(0, 20, truth.shape)
    pred[rng.random((people, joints)) < 0.1] = np.nan
    visible = rng.random((people, joints)) < 0.7
    scale = rng.uniform(20, 200, people)
    scale[rng.random(people) < 0.1] = np.nan
    return pred, np.where(visible[..., None], truth, np.nan), visible, scale


def _pck_by_loops(pred, truth, visible, scale, threshold):
    values, hits, total = [], 0, 0
    for k in range(pred.shape[1]):
        right = seen = 0
        for n in range(len(pred)):
            if not visible[n, k] or math.isnan(scale[n]):
                continue
            seen += 1
            dx, dy = pred[n, k] - truth[n, k]
            if not math.isnan(dx) and math.sqrt(dx * dx + dy * dy) <= threshold * scale[n]:
                right += 1
        values.append(right / seen if seen else None)
        hits, total = hits + right, total + seen
    present = [v for v in values if v is not None]
    return values, sum(present) / len(present), hits / total


def test_pck_equals_the_loops(rng: np.random.Generator) -> None:
    for _ in range(20):
        people = _random_people(rng, int(rng.integers(12, 40)), int(rng.integers(2, 9)))
        threshold = rng.uniform(0.02, 0.6)
        scores = pck(*people, (threshold,))
        values, mean_joint, pooled = _pck_by_loops(*people, threshold)
        np.testing.assert_allclose(scores.per_joint[0], [np.nan if v is None else v for v in values])
        assert scores.mean_joint[0] == pytest.approx(mean_joint)
        assert scores.pooled[0] == pytest.approx(pooled)


def test_pck_does_not_change_with_scale_place_and_order(rng: np.random.Generator) -> None:
    pred, truth, visible, scale = _random_people(rng, 60, 7)
    thresholds = (0.05, 0.1, 0.2, 0.5)
    before = pck(pred, truth, visible, scale, thresholds)
    s, shift, order = rng.uniform(0.3, 4), rng.uniform(-100, 100, 2), rng.permutation(60)
    after = pck((pred * s + shift)[order], (truth * s + shift)[order], visible[order], scale[order] * s, thresholds)
    np.testing.assert_array_equal(after.per_joint, before.per_joint)
    np.testing.assert_array_equal(after.pooled, before.pooled)


def test_more_tolerance_is_never_worse(rng: np.random.Generator) -> None:
    scores = pck(*_random_people(rng, 80, 6), np.linspace(0, 2, 41))
    assert (np.diff(scores.per_joint, axis=0) >= 0).all()
    assert (np.diff(scores.mean_joint) >= 0).all()
    assert scores.pooled[0] < scores.pooled[-1] < 1  # unpredicted joints stay wrong at any threshold


def test_unlabelled_joints_do_not_matter_and_unpredicted_ones_are_wrong() -> None:
    truth = np.zeros((1, 3, 2))
    truth[0, 2] = np.nan
    pred = np.array([[[0.0, 0.0], [np.nan, np.nan], [5.0, 5.0]]])
    visible = np.array([[True, True, False]])
    distances = normalised_distances(pred, truth, visible, 10.0)
    assert distances[0, 0] == 0
    assert np.isposinf(distances[0, 1])
    assert np.isnan(distances[0, 2])
    scores = pck(pred, truth, visible, 10.0, (0.2, 1e9))
    assert scores.count.tolist() == [1, 1, 0]
    assert scores.pooled.tolist() == [0.5, 0.5]
    assert np.isnan(scores.per_joint[0, 2])
    assert scores.mean_joint[0] == 0.5  # the joint that is labelled nowhere is not in the mean


# ------------------------------------------------------------------------------------------------ on records
def test_a_joint_labelled_nowhere_is_null(make_record, make_poses, tmp_path) -> None:
    truth = _standing(LSP14)
    truth[LSP14.index("left_ankle")] = np.nan
    pred = np.where(np.isnan(truth), 0, truth)
    result = pck_result([make_record(LSP14, truth)], [make_poses(LSP14, pred)])
    row = next(row for row in result.table if row["joint"] == "left_ankle")
    assert row == {"joint": "left_ankle", "value": None, "count": 0, "in_mean": False}
    assert result.value == 1.0
    text = result.to_json(tmp_path / "pck.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == result.to_dict()


def test_persons_without_torso_are_left_out_and_counted(make_record, make_poses) -> None:
    whole, cut = _standing(LSP14), _standing(LSP14)
    cut[LSP14.index("right_hip")] = np.nan
    records = [make_record(LSP14, [whole, cut])]
    predictions = [make_poses(LSP14, [whole, np.full((14, 2), 900.0)])]
    result = pck_result(records, predictions)
    assert result.value == 1.0
    assert (result.details["persons"], result.details["persons_without_scale"]) == (2, 1)
    chain = pck_result(records, predictions, scale=TORSO_FALLBACK)
    assert chain.details["persons_without_scale"] == 0
    assert [(p["person"], p["scale"]) for p in chain.details["person_scales"]] == [(0, "torso"), (1, "head_segment")]
    assert chain.value == pytest.approx(
        (11 * 0.5 + 1) / 12
    )  # eleven joints are right in one of two, the hip in one of one


def test_fallback_states_the_length_of_every_person(make_record, make_poses) -> None:
    """Four people, each off by 5 px: right where a fifth of the length is more, wrong where it is less."""
    whole, faces, hips, feet = (np.full((17, 2), np.nan) for _ in range(4))
    for keypoints in (whole, faces, hips, feet):
        keypoints[COCO17.index("left_ankle")] = (50, 300)
    whole[COCO17.index("left_shoulder")], whole[COCO17.index("right_hip")] = (60, 20), (0, 100)  # 100 px
    faces[COCO17.index("left_ear")], faces[COCO17.index("right_ear")] = (20, 10), (0, 10)  # 20 px
    hips[COCO17.index("left_hip")], hips[COCO17.index("right_hip")] = (30, 100), (0, 100)  # 30 px
    people = [whole, faces, hips, feet]
    result = pck_fallback_result(
        [make_record(COCO17, people)], [make_poses(COCO17, np.array(people) + np.array([3, 4]))]
    )
    rows = {row["joint"]: row for row in result.table}
    assert rows["left_ankle"]["count"] == 3  # feet alone have no length
    assert rows["left_ankle"]["value"] == pytest.approx(2 / 3)
    assert rows["left_ear"]["value"] == 0
    assert result.details["pooled"] == pytest.approx(6 / 9)  # the face is not among the limbs, yet in the mean
    assert result.details["scales_used"] == {"torso": 1, "ear_distance": 1, "hip_width": 1, "none": 1}
    stated = [(p["person"], p["scale"], p["scale_px"]) for p in result.details["person_scales"]]
    assert stated == [(0, "torso", 100), (1, "ear_distance", 20), (2, "hip_width", 30), (3, None, None)]


def test_crowds_are_skipped(make_record, make_poses) -> None:
    truth = _standing(COCO17)
    record = make_record(COCO17, [truth, truth], is_crowd=[False, True])
    result = pck_result([record], [make_poses(COCO17, [truth, truth + 500])])
    assert result.value == 1.0
    assert result.details["crowds_skipped"] == 1
    assert result.details["persons"] == 1


def test_another_skeleton_is_mapped_by_name(make_record, make_poses, rng) -> None:
    truth = _standing(LSP14) + rng.normal(0, 5, (4, 14, 2))
    pred = truth + rng.normal(0, 20, truth.shape)
    records, found = [make_record(LSP14, truth)], make_poses(LSP14, pred)
    own = pck_result(records, [found])
    assert pck_result(records, [found.to_skeleton(VITRUVIAN19)]).to_dict() == own.to_dict()
    coco = pck_result(records, [found.to_skeleton(COCO17)])  # knows neither neck nor head top
    assert coco.value == own.value
    assert coco.details["joints_lacking"] == ["neck", "head_top"]
    assert [row["joint"] for row in coco.table] == [j for j in LSP14.joints if j not in ("neck", "head_top")]
    everything = pck_result(records, [found.to_skeleton(COCO17)], subset="all")
    assert everything.value == pytest.approx(coco.value)


def test_two_images_are_pooled_like_one(make_record, make_poses, rng) -> None:
    truth = _standing(BODY25) + rng.normal(0, 3, (5, 25, 2))
    pred = truth + rng.normal(0, 15, truth.shape)
    one = pck_result([make_record(BODY25, truth)], [make_poses(BODY25, pred)])
    two = pck_result(
        [
            make_record(BODY25, truth[:2], image_id="a"),
            make_record(BODY25, [], image_id="b"),
            make_record(BODY25, truth[2:]),
        ],
        [make_poses(BODY25, pred[:2]), make_poses(BODY25, []), make_poses(BODY25, pred[2:])],
    )
    assert two.to_dict() == one.to_dict()


def test_nothing_labelled_gives_none(make_record, make_poses) -> None:
    empty = make_record(LSP14, np.full((1, 14, 2), np.nan))
    for metric in (pck_result, pckh_result, auc_result, epe_result):
        for record, poses in (
            (empty, make_poses(LSP14, np.zeros((1, 14, 2)))),
            (make_record(LSP14, []), make_poses(LSP14, [])),
        ):
            result = metric([record], [poses])
            assert result.value is None
            assert all(row["value"] is None and row["count"] == 0 for row in result.table)


def test_given_lengths_and_named_joints(make_record, make_poses) -> None:
    truth = np.stack([_standing(LSP14)] * 2)
    pred = truth + np.array([3.0, 4.0])
    records, predictions = [make_record(LSP14, truth)], [make_poses(LSP14, pred)]
    result = pck_result(records, predictions, scale=np.array([30.0, 20.0]), subset=["neck", "head_top"])
    assert result.value == 0.5  # 5 px of 30 is below 0.2, of 20 above
    assert result.details["joints_in_subset"] == ["neck", "head_top"]
    half = auc_result(records, predictions, scale=np.array([20.0, 20.0]))
    assert half.value == pytest.approx(0.5, abs=1e-6)  # all joints at 0.25 of 0.5


def test_what_cannot_be_measured_is_refused(make_record, make_poses) -> None:
    record, poses = make_record(LSP14, _standing(LSP14)), make_poses(LSP14, _standing(LSP14))
    with pytest.raises(ShapeError, match="2 predicted people for 1 annotated"):
        pck_result([record], [make_poses(LSP14, [_standing(LSP14)] * 2)])
    with pytest.raises(ShapeError, match="0 predicted people"):
        pck_result([record], [make_poses(LSP14, [])])
    with pytest.raises(ShapeError, match="unknown scale"):
        pck_result([record], [poses], scale="arm")
    with pytest.raises(ShapeError, match="unknown subset"):
        pck_result([record], [poses], subset="arms")
    with pytest.raises(ShapeError, match="headline"):
        pck_result([record], [poses], headline="best")
    with pytest.raises(SkeletonError, match="has no joint 'tail'"):
        pck_result([record], [poses], subset=["tail"])
    with pytest.raises(ShapeError, match="one length"):
        pck_result([record], [poses], scale=np.ones(3))
    with pytest.raises(ShapeError, match="positive"):
        normalised_distances(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), np.ones((1, 1)), np.array([0.0]))
    with pytest.raises(ShapeError, match="not finite"):
        normalised_distances(np.zeros((1, 1, 2)), np.full((1, 1, 2), np.nan), np.ones((1, 1)), 1.0)


@pytest.mark.parametrize("metric", [pck_result, auc_result, epe_result])
def test_the_names_say_how_it_was_measured(metric, make_record, make_poses) -> None:
    result = metric([make_record(LSP14, _standing(LSP14))], [make_poses(LSP14, _standing(LSP14))])
    assert any(word in result.name for word in ("PCK", "EPE"))
    assert "limbs12" in result.name or "all" in result.name
