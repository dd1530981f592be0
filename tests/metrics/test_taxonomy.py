"""Kinds of mistakes: placed by hand and found again, what correcting them is worth, and AP against the evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError
from vitruvian.metrics.oks import BOX_AREA_FACTOR, ImagePeople, joint_similarity, oks_ap
from vitruvian.metrics.taxonomy import (
    CORRECTIONS,
    KINDS,
    Limits,
    average_precision,
    joint_kinds,
    taxonomy,
)
from vitruvian.skeletons import COCO17, LSP14, VITRUVIAN19
from vitruvian.types import Person, Poses, Record

_AREA = 100.0**2


def _record(*people: np.ndarray, skeleton=COCO17, visibility=None, image_id=1) -> Record:
    persons = tuple(Person(p, np.full(len(p), 2) if visibility is None else visibility, area_px=_AREA) for p in people)
    return Record(Path(f"{image_id}.jpg"), image_id, (2000, 2000), skeleton, persons)


def _poses(*people: np.ndarray, scores=None, skeleton=COCO17, image_id=1) -> Poses:
    count = len(people)
    keypoints = np.array(people).reshape(count, len(skeleton), 2)
    box_scores = np.ones(count) if scores is None else np.array(scores)
    boxes = np.tile([0.0, 0, 2000, 2000], (count, 1))
    return Poses(
        keypoints, np.ones((count, len(skeleton))), boxes, skeleton, (2000, 2000), box_scores, Path(f"{image_id}.jpg")
    )


def _apart(rng, count=17, step=150.0) -> np.ndarray:
    """(K, 2) joints so far from each other that none is near another's by any sigma."""
    cells = rng.permutation(36)[:count]
    return np.stack([cells % 6, cells // 6], axis=1) * step + rng.uniform(0, 5, (count, 2)) + 50


def _step(similarity: float, sigma: float, area: float = _AREA) -> float:
    """Pixels at which a joint of that sigma has the similarity."""
    return 2 * sigma * np.sqrt(-2 * area * np.log(similarity))


def test_each_kind_by_hand(rng):
    one, two = _apart(rng), _apart(rng) + 1000
    found = one.copy()
    names = COCO17.index
    found[names("left_elbow"), 0] += _step(0.7, COCO17.sigmas[names("left_elbow")])
    found[names("left_wrist")] = one[names("right_wrist")] + (0, _step(0.9, COCO17.sigmas[names("left_wrist")]))
    found[names("left_knee")] = two[names("left_knee")]
    found[names("right_knee")] = two[names("left_knee")] + (_step(0.6, COCO17.sigmas[names("right_knee")]), 0)
    found[names("left_ankle"), 1] += _step(0.4, COCO17.sigmas[names("left_ankle")])
    found[names("right_ankle")] = np.nan
    visibility = np.full(17, 2)
    visibility[names("nose")] = 0
    record = replace(
        _record(one, two), persons=(Person(one, visibility, area_px=_AREA), Person(two, np.full(17, 2), area_px=_AREA))
    )
    result = taxonomy([record], [_poses(found, two)])
    kinds = {name: KINDS[k] if k >= 0 else None for name, k in zip(COCO17.joints, result.people[0].kinds, strict=True)}
    expected = dict.fromkeys(COCO17.joints, "good") | {
        "nose": None,
        "left_elbow": "jitter",
        "left_wrist": "inversion",
        "left_knee": "swap",
        "right_knee": "swap",
        "left_ankle": "miss",
        "right_ankle": "miss",
    }
    assert kinds == expected
    assert (result.people[1].kinds == 0).all()
    assert result.people[0].similarity[names("left_elbow")] == pytest.approx(0.7, abs=1e-4)
    assert result.people[0].best[names("left_wrist")] == pytest.approx(0.9, abs=1e-4)
    assert result.counts.sum() == 33
    row = result.to_dict()["joints"][names("left_wrist")]
    assert row == {
        "joint": "left_wrist",
        "labelled": 2,
        "good": 0.5,
        "jitter": 0,
        "inversion": 0.5,
        "swap": 0,
        "miss": 0,
    }


@pytest.mark.parametrize(
    ("similarity", "kind"), [(0.8501, "good"), (0.8499, "jitter"), (0.5001, "jitter"), (0.4999, "miss"), (1.0, "good")]
)
def test_limits(similarity, kind, rng):
    truth = _apart(rng)
    angle = rng.uniform(0, 2 * np.pi, 17)
    steps = np.array([_step(similarity, s) for s in COCO17.sigmas])
    found = truth + steps[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    kinds, own, best = joint_kinds(
        found, truth[None], np.ones((1, 17), bool), np.array([_AREA]), np.array(COCO17.sigmas), np.array(COCO17.flip), 0
    )
    assert {KINDS[k] for k in kinds} == {kind}
    np.testing.assert_allclose(own, similarity, atol=1e-9)
    assert (best >= own).all()


def test_all_left_and_right_exchanged_is_inversion(rng):
    truth = _apart(rng, 19)
    result = taxonomy(
        [_record(truth, skeleton=VITRUVIAN19)], [_poses(truth[VITRUVIAN19.flip], skeleton=VITRUVIAN19)], limits=Limits()
    )
    sided = np.array(VITRUVIAN19.flip) != np.arange(19)
    middle = result.people[0].oks * 19
    assert round(middle) == (~sided).sum()
    assert [KINDS[k] for k in result.people[0].kinds] == ["inversion" if s else "good" for s in sided]


@pytest.mark.parametrize(
    ("exchanged", "missed", "turned"),
    [
        (("shoulder", "elbow", "wrist", "hip"), (), True),
        (("shoulder", "elbow", "wrist"), (), False),  # six joints of twelve: no more than are right
        (("shoulder", "elbow", "wrist"), ("hip",), True),
        (("elbow",), ("shoulder", "wrist", "hip", "knee", "ankle"), False),  # two joints say too little
    ],
)
def test_turned_people(exchanged, missed, turned, rng):
    truth = _apart(rng, 14)
    found = truth.copy()
    for k, name in enumerate(LSP14.joints):
        part = name.split("_")[-1]
        if part in exchanged:
            found[k] = truth[LSP14.flip[k]]
        elif part in missed:
            found[k] = np.nan
    result = taxonomy([_record(truth, skeleton=LSP14)], [_poses(found, skeleton=LSP14)])
    assert [p.turned for p in result.people] == [turned]
    people = result.to_dict()["people"]
    assert people["turned"] == turned
    assert people["inversions_of_turned"] == (2 * len(exchanged) if turned else 0)


def test_an_ambiguous_place_belongs_to_the_own_joint(rng):
    """Where two people's joints coincide, or both sides of one, nothing is confused."""
    truth = _apart(rng)
    truth[COCO17.index("left_hip")] = truth[COCO17.index("right_hip")]
    result = taxonomy([_record(truth, truth)], [_poses(truth, truth)])
    assert (result.counts[:, 1:] == 0).all()


@pytest.mark.parametrize("kind", ["miss", "swap", "inversion", "jitter"])
def test_corrections_bring_joints_to_where_they_say(kind, rng):
    """A person whose every joint has one mistake: the corrected OKS is exact, and so is AP, a share of thresholds."""
    lone = kind == "swap"
    one, two = _apart(rng), _apart(rng) + 1000
    sigmas = np.array(COCO17.sigmas)
    if kind == "jitter":
        found, goal, before = one + _steps(0.62, sigmas), 0.85, 0.62
    elif kind == "miss":
        found, goal, before = one + _steps(0.3, sigmas), 0.5, 0.3
    elif kind == "swap":  # one joint stays, by which the persons are matched
        found, goal = two + _steps(0.74, sigmas), (3 + 14 * 0.74) / 17
        found[:3] = one[:3]
        before = 3 / 17
    else:
        found = one[COCO17.flip] + _steps(0.74, sigmas)
        found[0] = one[0]
        goal, before = (1 + 16 * 0.74) / 17, 0.12
    if kind == "inversion":  # OKS of 1 / 17 is below the match; three joints are right
        found[5:7] = one[5:7]
        goal, before = (3 + 14 * 0.74) / 17, 3 / 17
    result = taxonomy(
        [_record(one, two) if lone else _record(one)], [_poses(found, two, scores=[0.5, 1]) if lone else _poses(found)]
    )
    assert result.people[0].oks == pytest.approx(before, abs=1e-3)
    assert result.people[0].person == 0
    thresholds = np.arange(0.5, 0.951, 0.05)
    people = 2 if lone else 1
    hits = ((before >= thresholds) + (lone * 1.0)) / people, ((goal + 1e-9 >= thresholds) + (lone * 1.0)) / people
    for value, hit in ((result.ap, hits[0]), (result.ap_alone[kind], hits[1])):
        assert value == pytest.approx(np.mean([_ap(h) for h in hit]), abs=1e-9)
    for other in ("miss", "swap", "inversion", "jitter"):
        if other != kind:
            assert result.ap_alone[other] == result.ap


def _steps(similarity, sigmas):
    return np.stack([[_step(similarity, s), 0.0] for s in sigmas])


def _ap(recall: float) -> float:
    """AP where nothing is right, everything, or the first of two: 51 of COCO's 101 recalls are at most 1/2."""
    return {0.0: 0.0, 1.0: 1.0, 0.5: 51 / 101}[recall]


def test_score_errors_and_their_correction(rng):
    """A worse pose that scores more, beside a better one: precision is 1/2 at OKS over the worse one's."""
    truth = _apart(rng)
    worse = truth + _steps(0.62, np.array(COCO17.sigmas))
    result = taxonomy([_record(truth)], [_poses(truth, worse, scores=[0.3, 0.9])])
    assert result.score_errors == ((0, 0),)
    assert result.false_positives == ((0, 0),)
    assert result.duplicates == 1
    assert result.people[0].prediction == 1
    low = sum(t <= 0.62 for t in np.arange(0.5, 0.951, 0.05))
    assert result.ap == pytest.approx((low + (10 - low) * 0.5) / 10, abs=1e-9)
    assert result.ap_alone["score"] == 1
    assert taxonomy([_record(truth)], [_poses(truth, worse, scores=[0.9, 0.3])]).score_errors == ()


def test_background(rng):
    """Someone who is not there, before everyone else, and someone who is not found."""
    one, two = _apart(rng), _apart(rng) + 1000
    result = taxonomy([_record(one, two)], [_poses(one - 5000, one, scores=[0.9, 0.8])])
    assert result.false_positives == ((0, 0),)
    assert result.duplicates == 0
    assert result.false_negatives == ((0, 1),)
    assert result.ap == pytest.approx(0.5 * 51 / 101)
    assert result.ap_alone["false_positive"] == pytest.approx(51 / 101)
    assert result.ap_alone["false_negative"] == pytest.approx(0.5)
    assert result.ap_after["false_negative"] == 1


def test_ap_is_that_of_the_evaluation(rng):
    """Against faster-coco-eval, with crowds, unlabelled people, duplicates and false alarms."""
    pytest.importorskip("faster_coco_eval")
    records, predictions = [], []
    for i in range(30):
        people = [rng.uniform(0, 200, (17, 2)) + rng.uniform(0, 500, 2) for _ in range(int(rng.integers(0, 4)))]
        persons = []
        for p in people:
            visibility = np.where(rng.random(17) < rng.choice([0.0, 0.7, 1.0]), 2, 0)
            box = np.concatenate([p.min(axis=0), p.max(axis=0)])
            persons.append(
                Person(p, visibility, box, area_px=float(rng.uniform(5e3, 3e4)), is_crowd=bool(rng.random() < 0.1))
            )
        found = [p + rng.normal(0, rng.choice([1, 8, 30]), (17, 2)) for p in people for _ in range(rng.integers(0, 3))]
        found += [rng.uniform(0, 700, (17, 2)) for _ in range(rng.integers(0, 2))]
        records.append(Record(Path(f"{i}.jpg"), i, (2000, 2000), COCO17, tuple(persons)))
        predictions.append(_poses(*found, scores=rng.random(len(found)), image_id=i))
    if not any(not p.is_crowd and p.labelled.any() for r in records for p in r.persons):
        return
    images = [
        ImagePeople.of(r, p, COCO17, np.arange(17), BOX_AREA_FACTOR) for r, p in zip(records, predictions, strict=True)
    ]
    expected = oks_ap(records, predictions).value
    assert average_precision(images, np.array(COCO17.sigmas)) == pytest.approx(expected, abs=1e-9)
    result = taxonomy(records, predictions)
    assert result.ap == pytest.approx(expected, abs=1e-9)
    matched = {(p.image, p.prediction) for p in result.people}
    assert not matched & set(result.false_positives)
    for p in result.people:
        truth = records[p.image].persons[p.person]
        each = joint_similarity(
            predictions[p.image].keypoints[p.prediction][None],
            truth.keypoints_px[None],
            truth.labelled[None],
            np.array([truth.area_px]),
            np.array(COCO17.sigmas),
        )
        assert p.oks == pytest.approx(np.nanmean(each), abs=1e-6)
        assert ((p.kinds >= 0) == truth.labelled).all()


def test_another_skeleton_and_joints_that_are_lacking(rng):
    """A truth of LSP's 14 joints and predictions of COCO's 17, which have neither neck nor head top."""
    truth = _apart(rng, 14)
    found = COCO17.take(LSP14, truth[None], axis=1, missing=np.nan)[0]
    result = taxonomy([_record(truth, skeleton=LSP14)], [_poses(found)])
    assert set(LSP14.joints) - set(result.joints) == {"neck", "head_top"}
    assert result.ap == 1
    assert (result.counts[:, 0] == 1).all()


def test_results_are_plain(rng):
    truth = _apart(rng)
    result = taxonomy([_record(truth)], [_poses(truth + 3)])
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["people"] == {
        "matched": 1, "false_positives": 0, "of_these_duplicates": 0, "false_negatives": 0, "score_errors": 0,
        "turned": 0, "inversions_of_turned": 0,
    }  # fmt: skip
    assert set(result.ap_alone) == set(result.ap_after) == set(CORRECTIONS)


def test_nobody_to_find(rng):
    result = taxonomy([_record()], [_poses(_apart(rng))])
    assert result.ap is None
    assert set(result.ap_alone.values()) == {None}
    assert result.to_dict()["all_joints"]["good"] is None


def test_sigmas_of_another_length_are_refused(rng):
    with pytest.raises(ShapeError, match="17"):
        taxonomy([_record(_apart(rng))], [_poses(_apart(rng))], sigmas=[0.1] * 3)
