"""3D errors: closed forms, an implementation written apart from ours with loops, masks, tables, refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.metrics.pose3d import (
    auc3d,
    joint_errors_mm,
    mpjpe,
    mpjve,
    n_mpjpe,
    pa_mpjpe,
    pck3d,
    pose3d_result,
    velocity_errors_mm,
)
from vitruvian.skeletons import H36M17


def _poses(rng: np.random.Generator, count: int = 12, noise: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.normal(size=(count, 17, 3)) * 300 + rng.normal(size=(count, 1, 3)) * 1000
    return truth + rng.normal(size=truth.shape) * noise, truth


def _turn(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, ::-1]


def _similar(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Best similarity for one pose by quaternions (Horn 1987): no singular value decomposition anywhere."""
    a, b = pred - pred.mean(0), truth - truth.mean(0)
    m = a.T @ b
    n = np.empty((4, 4))
    n[0, 0] = np.trace(m)
    n[0, 1:] = n[1:, 0] = [m[1, 2] - m[2, 1], m[2, 0] - m[0, 2], m[0, 1] - m[1, 0]]
    n[1:, 1:] = m + m.T - np.trace(m) * np.eye(3)
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    turned = a @ rotation.T
    return turned * (turned * b).sum() / (a * a).sum() + truth.mean(0)


def test_all_metrics_against_loops(rng: np.random.Generator) -> None:
    pred, truth = _poses(rng)
    absolute, relative, scaled, aligned = [], [], [], []
    for p, t in zip(pred, truth, strict=True):
        pr, tr = p - p[0], t - t[0]
        factor = sum(float(u @ v) for u, v in zip(pr, tr, strict=True)) / sum(float(u @ u) for u in pr)
        similar = _similar(p, t)
        for k in range(17):
            absolute.append(math.dist(p[k], t[k]))
            relative.append(math.dist(pr[k], tr[k]))
            scaled.append(math.dist(factor * pr[k], tr[k]))
            aligned.append(math.dist(similar[k], t[k]))
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    assert mpjpe(pred, truth, root=None) == pytest.approx(mean(absolute))
    assert mpjpe(pred, truth) == pytest.approx(mean(relative))
    assert n_mpjpe(pred, truth) == pytest.approx(mean(scaled))
    assert pa_mpjpe(pred, truth) == pytest.approx(mean(aligned))
    errors = joint_errors_mm(pred, truth)
    assert pck3d(errors, 100) == pytest.approx(mean([e <= 100 for e in relative]))
    assert auc3d(errors) == pytest.approx(mean([mean([e <= 5 * i for e in relative]) for i in range(31)]))
    assert auc3d(errors, None) == pytest.approx(mean([max(0.0, 1 - e / 150) for e in relative]))
    steps = [
        math.dist((pred[i + 1, k] - pred[i, k]), (truth[i + 1, k] - truth[i, k])) for i in range(11) for k in range(17)
    ]
    assert mpjve(pred, truth, root=None) == pytest.approx(mean(steps))


def test_what_each_metric_forgives(rng: np.random.Generator) -> None:
    _, truth = _poses(rng)
    shifted, doubled = truth + np.array([10.0, 20, -20]), 2 * (truth - truth[:, :1])
    turned = 0.7 * truth @ _turn(rng).T + [5.0, 0, 9]
    mirrored = truth * [-1, 1, 1]
    assert mpjpe(shifted, truth, root=None) == pytest.approx(30)
    assert mpjpe(shifted, truth) == pytest.approx(0, abs=1e-9)
    assert mpjpe(doubled, truth) == pytest.approx(np.linalg.norm(truth - truth[:, :1], axis=2).mean())
    assert n_mpjpe(doubled, truth) == pytest.approx(0, abs=1e-9)
    assert n_mpjpe(turned, truth) > 0.5
    assert pa_mpjpe(turned, truth) == pytest.approx(0, abs=1e-7)
    assert pa_mpjpe(mirrored, truth) > 50
    assert pa_mpjpe(truth * 0, truth) == pytest.approx(
        np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=2).mean()
    )
    assert n_mpjpe(truth * 0, truth) == mpjpe(truth * 0, truth)


def test_pck_and_area_by_hand() -> None:
    errors = np.array([[0.0, 30.0, 75.0, 150.0], [150.001, 1000.0, np.nan, np.nan]])
    assert pck3d(errors) == pytest.approx(4 / 6)
    assert pck3d(errors, 30) == pytest.approx(2 / 6)
    assert auc3d(errors, None) == pytest.approx((1 + 0.8 + 0.5) / 6)
    assert auc3d(errors) == pytest.approx((31 + 25 + 16 + 1) / 31 / 6)  # thresholds of 0, 5 ... 150 that are enough
    assert auc3d(np.zeros((2, 3))) == 1
    assert math.isnan(pck3d(np.full((2, 2), np.nan)))
    assert math.isnan(auc3d(np.full((2, 2), np.nan), None))


def test_velocity_by_hand() -> None:
    """The prediction moves 3, 4 mm more in every frame, and stays behind by a constant: only the former counts."""
    truth = np.cumsum(np.ones((5, 2, 3)), axis=0)
    pred = truth + np.arange(5)[:, None, None] * [3.0, 4, 0] - 500
    assert mpjve(pred, truth, root=None) == pytest.approx(5)
    assert mpjve(pred, truth, fps=50, root=None) == pytest.approx(250)
    assert mpjve(pred, truth) == pytest.approx(0)  # all joints drift together
    pred[2:] += 1e6  # another take
    takes = [0, 0, 1, 1, 1]
    assert mpjve(pred, truth, takes, root=None) == pytest.approx(5)
    errors = velocity_errors_mm(pred, truth, takes, root=None)
    assert np.isnan(errors[1]).all()
    assert errors.shape == (4, 2)
    assert math.isnan(mpjve(pred[:1], truth[:1]))
    assert math.isnan(mpjve(pred[:0], truth[:0]))


def test_unlabelled_joints_never_count(rng: np.random.Generator) -> None:
    pred, truth = _poses(rng)
    missing = rng.random(truth.shape[:2]) < 0.3
    missing[:, 0] = False
    truth[missing] = np.nan
    wild = np.where(missing[..., None], rng.choice([np.nan, 1e9], truth.shape), pred)
    for alignment in ("root", "none", "scale", "procrustes"):
        errors = joint_errors_mm(pred, truth, alignment=alignment)
        np.testing.assert_array_equal(np.isnan(errors), missing)
        np.testing.assert_array_equal(joint_errors_mm(wild, truth, alignment=alignment), errors)
        n = 3
        keep = ~missing[n]
        alone = joint_errors_mm(pred[n : n + 1, keep], truth[n : n + 1, keep], alignment=alignment)
        np.testing.assert_allclose(errors[n, keep], alone[0], rtol=1e-9, atol=1e-9)
    truth[4, 0] = np.nan
    assert np.isnan(joint_errors_mm(pred, truth)[4]).all()
    assert not np.isnan(joint_errors_mm(pred, truth, alignment="procrustes")[4]).all()


def test_the_result_holds_a_row_a_joint_and_an_action(rng: np.random.Generator) -> None:
    pred, truth = _poses(rng, 12)
    actions = ["Walking"] * 9 + ["Sitting"] * 3
    truth[:, 5] = np.nan
    result = pose3d_result(pred, truth, H36M17.joints, actions=actions, sequences=np.arange(12) // 6, fps=25.0)
    assert result.value == pytest.approx(mpjpe(pred, truth))
    assert [row["joint"] for row in result.table] == list(H36M17.joints)
    assert [row["count"] for row in result.table] == [0 if k == 5 else 12 for k in range(17)]
    assert result.table[5]["value"] is None
    errors = joint_errors_mm(pred, truth)
    assert result.table[7]["value"] == pytest.approx(errors[:, 7].mean())
    assert result.table[7]["auc3d_150"] == pytest.approx(auc3d(errors[:, 7:8]))
    details = result.details
    assert details["pa_mpjpe_mm"] == pytest.approx(pa_mpjpe(pred, truth))
    assert details["n_mpjpe_mm"] == pytest.approx(n_mpjpe(pred, truth))
    assert details["pck3d_150"] == pytest.approx(pck3d(errors))
    assert details["auc3d_150"] == pytest.approx(auc3d(errors))
    assert details["mpjve_mm_per_s"] == pytest.approx(25 * mpjve(pred, truth, np.arange(12) // 6))
    by_action = details["per_action"]
    assert {name: row["poses"] for name, row in by_action.items()} == {"Sitting": 3, "Walking": 9}
    assert by_action["Sitting"]["mpjpe_mm"] == pytest.approx(mpjpe(pred[9:], truth[9:]))
    assert by_action["Walking"]["pa_mpjpe_mm"] == pytest.approx(pa_mpjpe(pred[:9], truth[:9]))
    mean = (by_action["Sitting"]["mpjpe_mm"] + by_action["Walking"]["mpjpe_mm"]) / 2
    assert details["mean_over_actions"]["mpjpe_mm"] == pytest.approx(mean)
    auc = (by_action["Sitting"]["auc3d_150"] + by_action["Walking"]["auc3d_150"]) / 2
    assert details["mean_over_actions"]["auc3d_150"] == pytest.approx(auc)
    json.dumps(result.to_dict(), allow_nan=False)
    assert result.to_text().startswith("MPJPE (mm, relative to pelvis): ")
    assert "mpjve_mm_per_frame" not in pose3d_result(pred, truth, H36M17.joints).details


def test_velocities_of_each_action() -> None:
    """Closed form: a prediction that runs ahead by v mm a frame has a velocity error of v at every joint but the root.

    Takes: A drifts by 3 mm and then 6 mm a frame (two takes, one longer), B by 12 mm; C is a single frame. What is
    between two takes, or two actions in one take, does not count.
    """
    truth = np.random.default_rng(0).normal(0, 300, (9, 17, 3))
    takes = np.array(["a", "a", "a", "b", "b", "c", "c", "c", "d"])
    actions = np.array(["A", "A", "A", "A", "A", "B", "B", "C", "C"])
    drift = np.array([0, 3, 6, 500, 506, 900, 912, 2000, -70.0])
    pred = truth.copy()
    pred[:, 1:, 0] += drift[:, None]
    details = pose3d_result(pred, truth, H36M17.joints, actions=actions, sequences=takes).details
    share = 16 / 17  # the root counts, without an error
    found = {name: row["mpjve_mm_per_frame"] for name, row in details["per_action"].items()}
    assert found == {"A": pytest.approx(share * (3 + 3 + 6) / 3), "B": pytest.approx(share * 12), "C": None}
    assert details["mean_over_actions"]["mpjve_mm_per_frame"] == pytest.approx(share * (4 + 12) / 2)
    assert (
        "mpjve_mm_per_frame"
        not in pose3d_result(pred, truth, H36M17.joints, actions=actions).details["per_action"]["A"]
    )


def test_nothing_measured_is_none() -> None:
    empty = pose3d_result(np.zeros((0, 17, 3)), np.zeros((0, 17, 3)), H36M17.joints, actions=[], sequences=[])
    assert empty.value is None
    assert empty.details["mean_over_actions"]["mpjpe_mm"] is None


def test_refusals(rng: np.random.Generator) -> None:
    pred, truth = _poses(rng, 3)
    with pytest.raises(ShapeError, match=r"\(N, K, 3\)"):
        mpjpe(pred[:2], truth)
    with pytest.raises(ShapeError, match=r"\(N, K, 3\)"):
        mpjpe(pred[..., :2], truth[..., :2])
    with pytest.raises(ShapeError, match="root must be"):
        mpjpe(pred, truth, root=17)
    with pytest.raises(ShapeError, match="alignment must be"):
        joint_errors_mm(pred, truth, alignment="best")
    with pytest.raises(ShapeError, match="names of 17 joints"):
        pose3d_result(pred, truth, ["a", "b"])
    with pytest.raises(ShapeError, match="actions"):
        pose3d_result(pred, truth, H36M17.joints, actions=["Walking"])
    with pytest.raises(ShapeError, match="sequences"):
        mpjve(pred, truth, [1, 2])
    pred[1, 2, 0] = np.nan
    with pytest.raises(ShapeError, match="no finite prediction"):
        mpjpe(pred, truth)
