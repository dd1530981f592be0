"""Calibration: closed forms of the error and the curve, and chances that come true on fresh draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.metrics.calibration import auc_of, ece_result, fit_by_joint, fit_curve, joints_right, reliability
from vitruvian.metrics.people import align
from vitruvian.skeletons import COCO17
from vitruvian.types import Person, Poses, Record
from vitruvian.weights.calibration import Calibration


def test_error_by_hand():
    """Two groups: 0.2 of which half is right, 0.9 of which three quarters are."""
    scores = np.repeat([0.2, 0.9], [2, 4])
    right = np.array([1, 0, 1, 1, 1, 0], bool)
    found = reliability(scores, right, groups=2)
    np.testing.assert_allclose(found.score, [0.2, 0.9])
    np.testing.assert_allclose(found.right, [0.5, 0.75])
    assert found.count.tolist() == [2, 4]
    assert found.ece == pytest.approx((2 * 0.3 + 4 * 0.15) / 6)
    assert found.brier == pytest.approx((0.64 + 0.04 + 3 * 0.01 + 0.81) / 6)


def test_groups_have_equal_counts_and_part_no_equal_scores(rng):
    scores = rng.random(1500)
    found = reliability(scores, scores > 0.5, groups=15)
    assert found.count.tolist() == [100] * 15
    assert (np.diff(found.score) > 0).all()
    one = reliability(np.full(40, 0.3), np.arange(40) < 10, groups=15)
    assert one.count.tolist() == [40]
    assert one.ece == pytest.approx(0.05)


def test_nothing_to_judge():
    found = reliability(np.zeros(0), np.zeros(0, bool))
    assert found.ece is None
    assert found.brier is None


def test_chances_that_are_drawn_are_calibrated(rng):
    """Scores that are the chances: the error is what is left of chance, about sqrt(p (1 - p) / n) a group."""
    scores = rng.random(30_000)
    assert reliability(scores, rng.random(30_000) < scores).ece < 0.03
    assert reliability(scores, rng.random(30_000) < scores**3).ece > 0.15


def test_the_curve_finds_the_chance_behind_a_score(rng):
    """A network that says s where the truth is s^2: the fitted curve is near the parabola, and rises."""
    scores = rng.random(40_000)
    curve = Calibration(fit_curve(scores, rng.random(40_000) < scores**2))
    fresh = rng.random(20_000)
    np.testing.assert_allclose(curve(fresh), fresh**2, atol=0.07)
    assert reliability(curve(fresh), rng.random(20_000) < fresh**2).ece < 0.03
    assert (np.diff(curve(np.linspace(0, 1, 500)).astype(float)) > 0).all()


def test_order_stays_even_where_scores_say_nothing(rng):
    """Being right falls with the score: all pooled to the mean, and still no two scores become one."""
    scores = rng.random(3000)
    knots = fit_curve(scores, rng.random(3000) < 0.8 - 0.6 * scores)
    assert len(knots) <= 5
    curve = Calibration(knots)
    assert (np.diff(curve(np.linspace(0, 1, 200)).astype(float)) > 0).all()
    assert curve(np.array([0.5]))[0] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_curve_where_all_are_right_or_none_is(share, rng):
    curve = Calibration(fit_curve(rng.random(500), np.full(500, share, bool)))
    values = curve(np.array([0.0, 0.5, 1.0]))
    assert values[0] == 0
    assert values[2] == pytest.approx(share, abs=2e-3)


def test_pooling_by_hand():
    """Groups of shares 0.2, 0.6, 0.4, 0.8: the two in the middle become one of 0.5 at their mean score."""
    scores = np.repeat([0.1, 0.3, 0.5, 0.9], 10)
    right = np.concatenate([np.arange(10) < n for n in (2, 6, 4, 8)])
    knots = fit_curve(scores, right, groups=4)
    np.testing.assert_allclose(knots, [(0, 0), (0.1, 0.2), (0.4, 0.5), (0.9, 0.8), (1, 0.801)], atol=1e-9)


def test_few_joints_are_refused():
    with pytest.raises(ShapeError, match="got 9"):
        fit_curve(np.full(9, 0.5), np.ones(9, bool))


@pytest.mark.parametrize(("scores", "right"), [([0.5, 1.2], [1, 0]), ([0.5], [1, 0]), ([np.nan], [1])])
def test_what_does_not_belong_together_is_refused(scores, right):
    with pytest.raises(ShapeError):
        reliability(np.array(scores), np.array(right, bool))


def test_auc_against_all_pairs(rng):
    higher, lower = rng.integers(0, 9, 40) / 8, rng.integers(0, 9, 30) / 8
    pairs = (higher[:, None] > lower).mean() + (higher[:, None] == lower).mean() / 2
    assert auc_of(higher, lower) == pytest.approx(pairs)
    assert auc_of(higher, lower[:0]) is None


def _people(rng, scores, off_px, labelled=None):
    """One person whose torso measures 100 px, its joints off by so many pixels."""
    keypoints = rng.uniform(100, 300, (17, 2))
    keypoints[COCO17.index("left_shoulder")], keypoints[COCO17.index("right_hip")] = (200, 100), (200, 200)
    visibility = np.where(np.ones(17, bool) if labelled is None else labelled, 2, 0)
    angle = rng.uniform(0, 2 * np.pi, 17)
    found = keypoints + np.array(off_px)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    record = Record(Path("a.jpg"), 1, (400, 400), COCO17, (Person(keypoints, visibility, area_px=1e4),))
    box = np.array([[100.0, 100, 300, 300]])
    return [record], [Poses(found[None], np.array(scores)[None], box, COCO17, (400, 400), path=Path("a.jpg"))]


def test_metric_by_hand(rng):
    labelled = np.ones(17, bool)
    labelled[[3, 4]] = False
    scores = np.where(labelled, 0.75, 0.25)
    result = ece_result(*_people(rng, scores, np.where(np.arange(17) < 13, 19.0, 21.0), labelled))
    assert result.value == pytest.approx(abs(0.75 - 11 / 15), abs=1e-6)
    assert result.details["joints"] == 15
    assert result.details["presence_auc"] == 1
    truth, (poses,) = _people(rng, scores, np.full(17, 5.0), labelled)
    presence = np.where(labelled, 0.2, 0.9)[None]  # what a model says of it counts, not the score
    assert ece_result(truth, [replace(poses, presence=presence)]).details["presence_auc"] == 0
    by_name = {row["joint"]: row for row in result.table}
    assert by_name["left_ear"]["value"] is None
    assert by_name["nose"]["right"] == 1
    assert by_name["nose"]["value"] == pytest.approx(0.25)
    assert by_name["left_ankle"]["right"] == 0


def test_right_by_oks_is_half_of_what_a_joint_can_give(rng):
    """exp(-d^2 / (2 area (2 sigma)^2)) = 1/2 at d = 2 sigma sqrt(2 area ln 2)."""
    limit = 2 * np.array(COCO17.sigmas) * np.sqrt(2 * 1e4 * np.log(2))
    inside = rng.random(17) < 0.5
    people = align(*_people(rng, np.ones(17), limit * np.where(inside, 0.99, 1.01)))
    np.testing.assert_array_equal(joints_right(people, "oks")[0], inside)
    with pytest.raises(ShapeError, match="torso or oks"):
        joints_right(people, "head")


def test_each_joint_gets_what_its_chances_lack(rng):
    """Chances whose odds are off by a factor a joint: the factor comes back, but for what the prior holds back."""
    truth = np.array([np.log(4), 0.0, -1.0, 5.0])
    chances = rng.uniform(0.2, 0.9, (20_000, 4))
    odds = chances * np.exp(truth)
    right = (rng.random(chances.shape) < odds / (odds + 1 - chances)).astype(float)
    right[:, 3] = np.nan  # nothing is known of the last
    found = np.array(fit_by_joint(chances, right))
    np.testing.assert_allclose(found[:3], truth[:3], atol=0.12)  # 6 standard errors
    assert abs(found[3]) < 1e-5
    few = fit_by_joint(np.full((1, 1), 0.5), np.ones((1, 1)))[0]
    assert few == pytest.approx(0.4, abs=0.02)  # 1 - sigmoid(x) = x
    with pytest.raises(ShapeError, match="chances and right"):
        fit_by_joint(np.zeros((2, 3)), np.zeros((3, 2)))
