"""`analyze`: predictions and truth come together however they are given, and the worst is what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vitruvian.analyze import SECTIONS, analyze, calibrated, page, worst
from vitruvian.data.images import write_image
from vitruvian.errors import VitruvianError
from vitruvian.metrics.taxonomy import KINDS
from vitruvian.predict import load
from vitruvian.skeletons import COCO17
from vitruvian.types import Person, Poses, Record


def _record(tmp_path: Path, rng: np.random.Generator, number: int, people: int = 1) -> Record:
    path = write_image(tmp_path / f"{number:012d}.png", rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    persons = []
    for i in range(people):
        cells = rng.permutation(20)[:17]  # apart, so that no joint is near another's
        keypoints = np.stack([cells % 4, cells // 4], axis=1) * 40.0 + rng.uniform(0, 5, (17, 2)) + (10 + 200 * i, 20)
        box = np.concatenate([keypoints.min(axis=0) - 5, keypoints.max(axis=0) + 5])
        persons.append(Person(keypoints, np.full(17, 2), box, area_px=1600.0))
    return Record(path, number, (400, 300), COCO17, tuple(persons))


def _poses(record: Record, *keypoints: np.ndarray, scores=None) -> Poses:
    count = len(keypoints)
    boxes = np.array([[*k.min(axis=0) - 5, *k.max(axis=0) + 5] for k in keypoints]).reshape(-1, 4)
    array = np.array(keypoints).reshape(-1, 17, 2)
    return Poses(array, np.full((count, 17), 0.8), boxes, COCO17, (400, 300), scores, record.image_path)


@pytest.fixture
def mistakes(tmp_path, rng):
    """Four images: all sides exchanged; two misses; nobody found; someone who is not there."""
    records = [_record(tmp_path, rng, i) for i in range(1, 5)]
    truth = [r.persons[0].keypoints_px for r in records]
    missed = truth[1].copy()
    missed[[9, 10]] += (20, 130)  # between the columns: never onto the other wrist
    found = {
        1: _poses(records[0], np.where(rng.random((17, 1)) < 2, truth[0][COCO17.flip], 0)),
        2: _poses(records[1], missed),
        4: _poses(records[3], truth[3], truth[3] + (150, 100), scores=np.array([0.9, 0.6])),
    }
    # one nose is not enough for an OKS of 0.1: the body's middle line stays as it is, and so do the shoulders
    keypoints = found[1].keypoints.copy()
    keypoints[0, 5:7] = truth[0][5:7]
    found[1] = _poses(records[0], keypoints[0])
    return records, found


def test_mistakes_are_found_where_they_were_made(mistakes):
    records, found = mistakes
    analysis = analyze(found, records)
    rows = worst(analysis)
    assert set(rows) == set(SECTIONS)
    assert rows["turned"] == [(0, 0, 0)]
    assert rows["miss"] == [(1, 0, 0)]
    assert rows["false_negative"] == [(2, None, 0)]
    assert rows["false_positive"] == [(3, 1, None)]
    assert rows["inversion"] == rows["jitter"] == rows["swap"] == rows["score_error"] == []
    assert analysis.calibration is None
    assert analysis.to_dict()["images"] == 4


def test_the_worst_come_first_and_no_more_than_asked_for(tmp_path, rng):
    records = [_record(tmp_path, rng, i) for i in range(1, 6)]
    found = {}
    for i, record in enumerate(records):
        keypoints = record.persons[0].keypoints_px.copy()
        keypoints[: i + 1] += (0, 140)
        found[record.image_id] = _poses(record, keypoints)
    analysis = analyze(found, records)
    assert [row[0] for row in worst(analysis, 3)["miss"]] == [4, 3, 2]


def test_images_are_found_by_id_or_file_name(mistakes):
    records, found = mistakes
    expected = analyze(found, records).to_dict()
    assert analyze({f"{k:012d}": poses for k, poses in found.items()}, records).to_dict() == expected
    with pytest.raises(VitruvianError, match="none of the 1 images"):
        analyze({"elsewhere": found[1]}, records)


def test_no_predictions_at_all(mistakes):
    records, _ = mistakes
    analysis = analyze({}, records)
    assert len(analysis.taxonomy.false_negatives) == 4
    assert analysis.taxonomy.ap == 0


def test_nobody_to_find(tmp_path, rng):
    with pytest.raises(VitruvianError, match="nothing to analyse"):
        analyze({}, [_record(tmp_path, rng, 1, people=0)])


def test_a_page_with_pictures_that_needs_nothing_else(mistakes):
    records, found = mistakes
    analysis = analyze(found, records)
    text = page(analysis, "Mistakes of <x>", ["a & b"])
    assert "Mistakes of &lt;x&gt;" in text
    assert "a &amp; b" in text
    assert text.count("<figure>") == 4
    for heading in SECTIONS.values():
        assert heading in text
    assert "left wrist: miss" in text
    assert "right ankle: inversion" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "nan" not in re.sub(r'src="[^"]*"', "", text).lower().replace("nan<", "<")


def test_a_model_on_the_truths_boxes(tiny_model, tmp_path, rng):
    records = [_record(tmp_path, rng, i, people=i % 2 + 1) for i in range(1, 5)]
    seen = []
    with load(tiny_model, threads=1, detector=None) as predictor:
        analysis = analyze(predictor, records, progress=lambda *done: seen.append(done))
        direct = predictor.predict(records[0].image_path, [p.box_xyxy for p in records[0].persons])
    np.testing.assert_allclose(analysis.poses[0].keypoints, direct.keypoints, atol=1e-3)
    assert seen == [(i, 4) for i in range(1, 5)]
    people = sum(len(r.persons) for r in records)
    matched = len(analysis.taxonomy.people)
    assert matched + len(analysis.taxonomy.false_positives) == people
    assert matched + len(analysis.taxonomy.false_negatives) == people
    assert analysis.calibration.details["joints"] == people * 17
    assert sum(analysis.taxonomy.counts.sum(axis=0)) == matched * 17
    assert len(KINDS) == analysis.taxonomy.counts.shape[1]


def test_a_curve_is_judged_on_images_it_was_not_fitted_on(tiny_model, tmp_path, rng):
    records = [_record(tmp_path, rng, i) for i in range(1, 9)]
    analysis = analyze(str(tiny_model), records)
    curve, before, after = calibrated(analysis, "eight pictures")
    assert curve.fitted_on == "eight pictures"
    assert "0.5" in curve.right
    assert before.count.sum() == after.count.sum() == 8 * 17
    assert after.ece < before.ece + 0.2
    with pytest.raises(VitruvianError, match="true boxes"):
        calibrated(analyze({}, records), "")
