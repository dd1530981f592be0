"""The two older systems' PCK, against loops written after their behaviour, and the mistakes one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.metrics.pck import pck_result, pck_system2_result, pck_system3_result
from vitruvian.skeletons import COCO17, LSP14, MPII16


def _system2_by_loops(pred, truth, labelled, crop_px):
    """All persons as one batch on 64 cells, without the rounding to cells; returns hits and counts a joint."""
    hits, seen = np.zeros(16, int), np.zeros(16, int)
    normalize = 6.4
    for n in range(len(pred)):
        cell = crop_px[n] / 64
        if labelled[n, 8] and labelled[n, 9]:
            normalize = math.dist(truth[n, 8] / cell, truth[n, 9] / cell)
        for c in range(16):
            if labelled[n, c]:
                seen[c] += 1
                hits[c] += math.dist(pred[n, c] / cell / normalize, truth[n, c] / cell / normalize) < 0.5
    return hits, seen


def test_system2_equals_the_loops(make_record, make_poses, rng) -> None:
    truth = rng.uniform(0, 200, (40, 16, 2)).astype(np.float32)
    labelled = rng.random((40, 16)) < 0.8
    labelled[0, 8] = False  # the first person has no head: a tenth of the crop
    scale = rng.uniform(0.5, 2.5, 40)
    pred = (truth + rng.normal(0, 40, truth.shape)).astype(np.float32)
    hits, seen = _system2_by_loops(pred.astype(float), truth.astype(float), labelled, 200 * scale)
    record = make_record(MPII16, truth, visibility=labelled * 2, extra=[{"scale": float(s)} for s in scale])
    result = pck_system2_result([record], [make_poses(MPII16, pred)])
    assert [row["count"] for row in result.table] == seen.tolist()
    np.testing.assert_allclose([row["value"] for row in result.table], hits / seen)
    assert result.value == pytest.approx(hits.sum() / seen.sum())
    assert 0.05 < result.value < 0.95


def test_system2_counts_pelvis_and_thorax_and_wants_less_than_half(make_record, make_poses) -> None:
    truth = np.stack([np.arange(16) * 20.0, np.full(16, 100.0)], axis=1)
    truth[8], truth[9] = (100, 100), (100, 60)  # neck and head top 40 px apart: the limit is 20
    pred = truth.copy()
    pred[0] += (20, 0)  # exactly the limit
    pred[1] += (19.5, 0)
    pred[MPII16.index("pelvis")] += 300
    result = pck_system2_result([make_record(MPII16, truth)], [make_poses(MPII16, pred)])
    assert {row["joint"] for row in result.table if row["value"] == 0} == {"right_ankle", "pelvis"}
    assert result.value == 14 / 16
    assert all(row["in_mean"] for row in result.table)


def test_system2_without_scale_uses_the_box(make_record, make_poses) -> None:
    truth = np.full((16, 2), np.nan)
    truth[:2] = ((10, 10), (50, 90))
    pred = np.zeros((16, 2))
    pred[:2] = truth[:2] + np.array([(5.5, 0), (4.5, 0)])  # box 100 px: the length is 10, the limit 5
    record = make_record(MPII16, truth, box_xyxy=[np.array([0.0, 0.0, 60.0, 100.0])])
    assert [row["value"] for row in pck_system2_result([record], [make_poses(MPII16, pred)]).table[:2]] == [0.0, 1.0]


def _system3_by_loops(pred, scores, truth, labelled):
    correct = np.zeros(17, int)
    for n in range(len(pred)):
        limit = 5.0
        if labelled[n, 11] and labelled[n, 12]:
            limit = 0.2 * abs(truth[n, 11, 0] - truth[n, 12, 0])
        elif labelled[n, 1] and labelled[n, 2]:
            limit = 0.2 * abs(truth[n, 1, 0] - truth[n, 2, 0])
        for k in range(17):
            x = pred[n, k, 0] if scores[n, k] >= 0.2 else 0.0
            correct[k] += abs(x - (truth[n, k, 0] if labelled[n, k] else 0.0)) <= limit
    return correct / len(pred)


def test_system3_equals_the_loops(make_record, make_poses, rng) -> None:
    truth = rng.uniform(0, 200, (60, 17, 2)).astype(np.float32).astype(float)
    labelled = rng.random((60, 17)) < 0.6
    pred = (truth + rng.normal(0, 12, truth.shape)).astype(np.float32).astype(float)
    scores = rng.random((60, 17)).astype(np.float32)
    want = _system3_by_loops(pred, scores, truth, labelled)
    record = make_record(COCO17, truth, visibility=labelled * 2)
    result = pck_system3_result([record], [make_poses(COCO17, pred, scores=scores)])
    np.testing.assert_allclose([row["value"] for row in result.table], want)
    assert result.value == pytest.approx(want.mean())
    assert all(row["count"] == 60 for row in result.table)


def test_system3_does_not_see_y_and_praises_what_is_not_there(make_record, make_poses) -> None:
    truth = np.full((17, 2), np.nan)
    truth[COCO17.index("left_hip")], truth[COCO17.index("right_hip")] = (140, 200), (100, 200)
    truth[COCO17.index("left_shoulder")], truth[COCO17.index("right_shoulder")] = (140, 100), (100, 100)
    pred = np.nan_to_num(truth)
    pred[:, 1] += 1000  # a thousand pixels too low
    scores = np.where(np.isfinite(truth[:, 0]), 1.0, 0.1)
    record, poses = make_record(COCO17, truth), make_poses(COCO17, pred, scores=scores)
    assert pck_system3_result([record], [poses]).value == 1.0
    assert pck_result([record], [poses]).value == 0.0


def test_variants_need_their_joints_and_their_name(make_record, make_poses) -> None:
    record, poses = make_record(COCO17, np.ones((1, 17, 2))), make_poses(COCO17, np.ones((1, 17, 2)))
    with pytest.raises(SkeletonError, match="neck"):
        pck_system2_result([record], [poses])
    with pytest.raises(ShapeError, match="unknown variant 'system9'; known: system2, system3"):
        pck_result([record], [poses], legacy="system9")


def test_the_result_says_what_differs(make_record, make_poses) -> None:
    record, poses = make_record(LSP14, np.ones((1, 14, 2))), make_poses(LSP14, np.ones((1, 14, 2)))
    for system in ("system2", "system3"):
        result = pck_result([record], [poses], legacy=system)
        assert system[-1] in result.name
        assert len(result.details["differs_from_the_standard"]) >= 4
