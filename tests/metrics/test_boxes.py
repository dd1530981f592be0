"""Average precision of boxes against pycocotools and by hand."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from vitruvian.errors import ShapeError
from vitruvian.metrics.boxes import STATS, box_stats


def _boxes(rng: np.random.Generator, count: int, largest: float = 200) -> np.ndarray:
    low = rng.uniform(0, 300, (count, 2))
    return np.concatenate([low, low + rng.uniform(5, largest, (count, 2))], axis=1)


def test_equals_pycocotools(rng: np.random.Generator) -> None:
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth, found = [], []
    for _ in range(12):
        people = _boxes(rng, int(rng.integers(0, 6)))
        near = people[rng.random(len(people)) < 0.8] + rng.normal(0, 6, 4)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        boxes = np.concatenate([near, _boxes(rng, int(rng.integers(1, 3)))])
        truth.append((people, _boxes(rng, int(rng.integers(0, 2)))))
        found.append((boxes, np.round(rng.random(len(boxes)), 1)))
    xywh = lambda box: [*box[:2], *(box[2:] - box[:2])]  # noqa: E731
    annotations = [
        {"image_id": i, "category_id": 1, "bbox": xywh(b), "area": np.prod(b[2:] - b[:2]), "iscrowd": crowd}
        for i, (people, crowds) in enumerate(truth)
        for crowd, group in enumerate((people, crowds))
        for b in group
    ]
    results = [
        {"image_id": i, "category_id": 1, "bbox": xywh(b), "score": float(s)}
        for i, (boxes, scores) in enumerate(found)
        for b, s in zip(boxes, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO()
        data.dataset = {
            "images": [{"id": i} for i in range(12)], "categories": [{"id": 1}],
            "annotations": [{**a, "id": k + 1} for k, a in enumerate(annotations)],
        }  # fmt: skip
        data.createIndex()
        judge = evaluation.COCOeval(data, data.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    got = box_stats(truth, found)
    for name, place in STATS.items():
        assert (got[name] is None) == (judge.stats[place] < 0), name
        if got[name] is not None:
            assert got[name] == pytest.approx(judge.stats[place], abs=1e-9), name


def test_by_hand() -> None:
    person, other = np.array([[0.0, 0, 100, 100]]), np.array([[300.0, 300, 360, 420]])
    nowhere = np.zeros((0, 4))
    perfect = box_stats([(person, nowhere)], [(person, np.array([0.9]))])
    assert perfect["AP"] == pytest.approx(1)
    # The wrong box comes first: precision 1/2 at every recall.
    wrong_first = box_stats([(person, nowhere)], [(np.concatenate([other, person]), np.array([0.9, 0.8]))])
    assert wrong_first["AP50"] == pytest.approx(0.5)
    # In a region nobody has looked at, it is not wrong.
    assert box_stats([(person, other)], [(np.concatenate([other, person]), np.array([0.9, 0.8]))])["AP50"] == 1
    assert box_stats([(nowhere, nowhere)], [(nowhere, np.zeros(0))])["AP"] is None


def test_refuses_what_does_not_belong_together() -> None:
    box = np.array([[0.0, 0, 1, 1]])
    with pytest.raises(ShapeError, match="0 pictures"):
        box_stats([(box, box)], [])
    with pytest.raises(ShapeError, match="picture 0"):
        box_stats([(box, box)], [(box, np.zeros(2))])
