"""Rescoring and both suppressions against loops that are written out, and who survives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.predict.select import Selection, box_nms, oks_nms, pose_similarity
from vitruvian.skeletons import COCO17
from vitruvian.types import Poses

SIGMAS = np.asarray(COCO17.sigmas)


def crowd(rng: np.random.Generator, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Three people, each found several times a few pixels apart: keypoints (N, 17, 2), scores (N,)."""
    people = rng.uniform(0, 200, (3, 17, 2))
    keypoints = people[rng.integers(0, 3, count)] + rng.normal(0, 1, (count, 17, 2)) * rng.uniform(0, 12, (count, 1, 1))
    return keypoints, rng.uniform(0, 1, count)


def written_out_similarity(a, b, area_a, area_b, counted_a, counted_b) -> float:
    found = []
    for k in range(17):
        if counted_a[k] and counted_b[k] and not np.isnan([*a[k], *b[k]]).any():
            squared = (a[k][0] - b[k][0]) ** 2 + (a[k][1] - b[k][1]) ** 2
            found.append(math.exp(-squared / ((area_a + area_b) / 2) / (2 * SIGMAS[k]) ** 2 / 2))
    return sum(found) / len(found) if found else 0.0


def test_similarity_is_the_formula(rng):
    keypoints, _ = crowd(rng, 6)
    keypoints[rng.random((6, 17)) < 0.2] = np.nan
    areas, counted = rng.uniform(2000, 9000, 6), rng.random((6, 17)) < 0.7
    counted[5] = False  # nobody can be compared with them
    got = pose_similarity(keypoints, areas, SIGMAS, counted)
    for i in range(6):
        for j in range(6):
            pair = (keypoints[i], keypoints[j], areas[i], areas[j], counted[i], counted[j])
            assert got[i, j] == pytest.approx(1.0 if i == j else written_out_similarity(*pair), abs=1e-12)
    everything = np.full((6, 17), True)
    np.testing.assert_array_equal(
        pose_similarity(keypoints, areas, SIGMAS), pose_similarity(keypoints, areas, SIGMAS, everything)
    )
    assert got[5, :5].max() == 0


def test_oks_nms_is_the_loop(rng):
    sizes = set()
    for _ in range(20):
        keypoints, scores = crowd(rng)
        areas = rng.uniform(20_000, 40_000, len(scores))
        threshold = rng.choice([0.3, 0.6, 0.9])
        similarity = pose_similarity(keypoints, areas, SIGMAS)
        alive, expected = sorted(range(len(scores)), key=lambda i: -scores[i]), []
        while alive:
            best = alive.pop(0)
            expected.append(best)
            alive = [i for i in alive if similarity[best, i] <= threshold]
        assert oks_nms(keypoints, scores, areas, SIGMAS, threshold).tolist() == expected
        sizes.add(len(expected))
    assert len(sizes) > 1  # some were dropped, and not always as many
    assert sorted(oks_nms(keypoints, scores, areas, SIGMAS, 1.0)) == list(range(len(scores)))


def test_box_nms_is_the_loop(rng):
    def iou(a, b) -> float:
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        both = max(wide, 0) * max(high, 0)
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    corners = rng.uniform(0, 60, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 50, (40, 2))], axis=1)
    scores = rng.choice([0.3, 0.5, 0.9], 40)  # with ties: the earlier box goes first
    for most in (0.1, 0.4, 0.65):
        expected: list[int] = []
        for i in sorted(range(40), key=lambda i: (-scores[i], i)):
            if all(iou(boxes[i], boxes[j]) <= most for j in expected):
                expected.append(i)
        assert box_nms(boxes, scores, most).tolist() == expected
        assert len(expected) < 40 or most > 0.5  # more than that no pair of them may overlap
    assert box_nms(np.zeros((0, 4)), np.zeros(0)).shape == (0,)


def people(rng, box_scores, apart_px: float = 200.0) -> Poses:
    """One pose, again and again, ``apart_px`` to the right of the one before."""
    count = len(box_scores)
    steps = np.arange(count)[:, None, None] * np.array([apart_px, 0])
    keypoints = rng.uniform(10, 90, (1, 17, 2)) + steps
    boxes = np.array([0, 0, 100, 100]) + np.arange(count)[:, None] * np.array([apart_px, 0, apart_px, 0])
    scores = rng.uniform(0, 1, (count, 17))
    return Poses(keypoints, scores, boxes, COCO17, (2000, 120), box_scores=np.array(box_scores))


def test_rescoring_is_the_loop(rng):
    poses = people(rng, [0.9, 0.5, 1.0])
    poses.scores[2] = rng.uniform(0, 0.2, 17)  # nothing to be seen
    rescored = Selection()(poses)
    assert len(rescored) == 3
    for i in range(3):
        sure = [float(s) for s in poses.scores[i] if s > 0.2]
        expected = float(poses.box_scores[i]) * (sum(sure) / len(sure) if sure else 0.0)
        assert rescored.person_scores[i] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(poses.person_scores, poses.box_scores * poses.scores.mean(1), rtol=1e-6)
    np.testing.assert_array_equal(Selection(rescore_above=None)(poses).person_scores, poses.person_scores)
    assert [row["score"] for row in rescored.to_coco()] == pytest.approx(rescored.person_scores.tolist(), abs=1e-6)
    np.testing.assert_array_equal(rescored.select([1]).person_scores, rescored.person_scores[1:2])


def test_found_twice(rng):
    poses = people(rng, [0.3, 0.9, 0.6, 0.8], apart_px=0.25)
    poses.scores[:] = poses.scores[:1]
    kept = Selection()(poses)
    np.testing.assert_array_equal(kept.keypoints, poses.keypoints[1:2])  # the surest box
    assert len(Selection(same_person=None)(poses)) == len(Selection(same_person=1.0)(poses)) == 4
    apart = Selection()(people(rng, [0.3, 0.9, 0.6], apart_px=40.0))  # overlapping boxes, other places
    np.testing.assert_allclose(apart.box_scores, [0.3, 0.9, 0.6], rtol=1e-6)  # everyone, in the order they came in
    assert len(Selection()(poses.select([]))) == 0


def test_unsure_joints_can_be_left_out(rng):
    """The visible upper body is the same, the guessed rest is not."""
    poses = people(rng, [0.9, 0.8], apart_px=0.0)
    poses.scores[:, :9], poses.scores[:, 9:] = 0.9, 0.1
    poses.keypoints[1, 9:] += 300
    assert len(Selection()(poses)) == 2
    assert len(Selection(all_joints=False)(poses)) == 1


def test_who_has_no_persons_joints_is_dropped(rng):
    poses = people(rng, [0.3, 0.9, 0.6], apart_px=400.0)
    means = poses.scores.mean(axis=1)
    between = float(np.sort(means)[:2].mean())
    kept = Selection(person_above=between)(poses)
    np.testing.assert_array_equal(kept.keypoints, poses.keypoints[means >= between])
    assert len(kept) == 2
    assert len(Selection(person_above=1.0)(poses)) == 0
    assert len(Selection(person_above=0.0)(poses)) == 3


def test_unsure_boxes_need_surer_joints(rng):
    """Written out: box times joints squared, where the box is not sure; the box alone decides nothing above that."""
    box_scores = rng.uniform(0, 1, 200)
    poses = people(rng, box_scores, apart_px=400.0)
    levels = rng.uniform(0, 1, (200, 1))  # of 17 independent scores the means would all be about 0.5
    poses = replace(poses, scores=(levels + 0.1 * (poses.scores - 0.5)).clip(0, 1))
    for above, sure in ((0.5, 0.8), (0.4, 0.3), (0.6, 1.0)):
        kept = Selection(person_above=above, sure_box=sure, same_person=None)(poses)
        expected = []
        for box, joints in zip(poses.box_scores, poses.scores.astype(np.float64), strict=True):
            joint = joints.mean()
            expected.append(joint >= above if box >= sure else box * joint**2 >= sure * above**2)
        assert 0 < sum(expected) < 200
        np.testing.assert_array_equal(kept.keypoints, poses.keypoints[expected])
    given = replace(poses, box_scores=None)
    assert len(Selection(person_above=0.5, sure_box=0.8)(given)) == (poses.scores.mean(axis=1) >= 0.5).sum()
    with pytest.raises(ShapeError, match="sure_box must be None or lie in 0..1"):
        Selection(sure_box=2.0)


def test_what_does_not_fit_is_refused(rng):
    keypoints, scores = crowd(rng, 4)
    with pytest.raises(ShapeError, match=r"areas \(N,\)"):
        pose_similarity(keypoints, np.ones(3), SIGMAS)
    with pytest.raises(ShapeError, match=r"sigmas \(K,\)"):
        pose_similarity(keypoints, np.ones(4), SIGMAS[:5])
    with pytest.raises(ShapeError, match="counted"):
        pose_similarity(keypoints, np.ones(4), SIGMAS, np.full((4, 5), True))
    with pytest.raises(ShapeError, match="4 finite scores"):
        oks_nms(keypoints, scores[:3], np.ones(4), SIGMAS)
    with pytest.raises(ShapeError, match="threshold in 0..1"):
        box_nms(np.zeros((0, 4)), np.zeros(0), 1.5)
    with pytest.raises(ShapeError, match="same_person must be None or lie in 0..1"):
        Selection(same_person=float("nan"))
