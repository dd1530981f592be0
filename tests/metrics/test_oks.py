"""OKS in closed form, and AP against pycocotools on random people with everything COCO treats specially."""

from __future__ import annotations

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ShapeError, SkeletonError
from vitruvian.formats import coco
from vitruvian.metrics.oks import BOX_AREA_FACTOR, STATS, match, oks, oks_ap
from vitruvian.skeletons import COCO17, LSP14, VITRUVIAN19, Skeleton
from vitruvian.types import Person, Poses, Record

TINY = Skeleton(name="tiny", joints=("a", "b", "c"), edges=((0, 1),), sigmas=(0.05, 0.1, 0.2))


# ------------------------------------------------------------------------------------------------ the formula
def test_oks_of_known_distances() -> None:
    """A joint that is off by k sqrt(2 area) has the similarity 1/e, with k twice the sigma."""
    area, sigma = 400.0, 0.1
    truth = np.array([[[50.0, 60.0]]])
    off = 2 * sigma * math.sqrt(2 * area)
    pred = truth + np.array([[[off, 0.0]], [[0.0, -off]], [[off * 0.6, off * 0.8]], [[0.0, 0.0]]]).reshape(4, 1, 2)
    got = oks(pred, truth, np.array([[True]]), np.array([area]), np.array([sigma]))
    assert got.shape == (4, 1)
    np.testing.assert_allclose(got[:, 0], [math.exp(-1)] * 3 + [1.0], rtol=1e-12)


def test_only_visible_joints_count_and_unpredicted_ones_are_wrong() -> None:
    truth = np.zeros((1, 3, 2))
    truth[0, 2] = np.nan
    pred = np.zeros((1, 3, 2))
    pred[0, 1] = np.nan
    got = oks(pred, truth, np.array([[True, True, False]]), np.array([100.0]), np.array(TINY.sigmas))
    assert got[0, 0] == pytest.approx(0.5)


def _oks_by_loops(pred, truth, visible, area, sigmas, boxes):
    """The rule written out with loops, one number at a time."""
    out = np.zeros((len(pred), len(truth)))
    for n in range(len(pred)):
        for m in range(len(truth)):
            terms = []
            x0, y0, x1, y1 = boxes[m]
            w, h = x1 - x0, y1 - y0
            for k, sigma in enumerate(sigmas):
                x, y = pred[n, k]
                if visible[m].any():
                    if not visible[m, k]:
                        continue
                    dx, dy = x - truth[m, k, 0], y - truth[m, k, 1]
                else:
                    dx = max(0, x0 - w - x) + max(0, x - (x1 + w))
                    dy = max(0, y0 - h - y) + max(0, y - (y1 + h))
                terms.append(math.exp(-(dx * dx + dy * dy) / (2 * area[m] * (2 * sigma) ** 2)))
            out[n, m] = sum(terms) / len(terms)
    return out


def test_oks_equals_the_loops(rng: np.random.Generator) -> None:
    for _ in range(20):
        n, m, k = rng.integers(1, 5), rng.integers(1, 6), rng.integers(1, 8)
        truth, pred = rng.uniform(0, 200, (m, k, 2)), rng.uniform(0, 400, (n, k, 2))
        visible = rng.random((m, k)) < 0.6
        visible[0] = False  # compared by its box
        low = rng.uniform(0, 100, (m, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 80, (m, 2))], axis=1)
        area, sigmas = rng.uniform(50, 9000, m), rng.uniform(0.02, 0.2, k)
        got = oks(pred, np.where(visible[..., None], truth, np.nan), visible, area, sigmas, boxes)
        np.testing.assert_allclose(got, _oks_by_loops(pred, truth, visible, area, sigmas, boxes), rtol=1e-9, atol=1e-12)


def test_oks_does_not_change_with_scale_and_place(rng: np.random.Generator) -> None:
    pred, truth = rng.uniform(0, 100, (3, 4, 2)), rng.uniform(0, 100, (2, 4, 2))
    visible, area, sigmas = np.ones((2, 4), bool), rng.uniform(500, 5000, 2), rng.uniform(0.05, 0.1, 4)
    before = oks(pred, truth, visible, area, sigmas)
    s, shift = rng.uniform(0.2, 5), rng.uniform(-50, 50, 2)
    np.testing.assert_allclose(
        oks(pred * s + shift, truth * s + shift, visible, area * s * s, sigmas), before, rtol=1e-9
    )


def test_oks_refuses_what_does_not_fit() -> None:
    one, seen, area = np.zeros((1, 2, 2)), np.ones((1, 2), bool), np.ones(1)
    with pytest.raises(ShapeError, match=r"\(N, K, 2\)"):
        oks(np.zeros((1, 3, 2)), one, seen, area, np.ones(2))
    with pytest.raises(ShapeError, match="areas"):
        oks(one, one, seen, np.ones(2), np.ones(2))
    with pytest.raises(ShapeError, match="give boxes"):
        oks(one, one, ~seen, area, np.ones(2))
    with pytest.raises(ShapeError, match="not finite"):
        oks(one, one * np.nan, seen, area, np.ones(2))


# ------------------------------------------------------------------------------------------------ against pycocotools
def _random_images(rng: np.random.Generator, skeleton: Skeleton, images: int) -> tuple[list[Record], list[Poses]]:
    joints = len(skeleton)
    records, predictions = [], []
    ids = rng.permutation(10 * images)[:images]  # not in order: equal scores are decided by the order of the ids
    for image_id in ids:
        persons, found = [], []
        for _ in range(rng.integers(0, 5)):
            side = float(np.exp(rng.uniform(np.log(15), np.log(250))))  # small, medium and large in COCO's ranges
            corner = rng.uniform(0, 400, 2)
            keypoints = corner + rng.uniform(0, side, (joints, 2))
            codes = rng.integers(0, 3, joints)
            kind = rng.random()
            if kind < 0.15:
                codes[:] = 0
            persons.append(
                Person(
                    keypoints,
                    codes,
                    box_xyxy=np.concatenate([corner, corner + side * rng.uniform(0.7, 1.2, 2)]),
                    area_px=side * side * rng.uniform(0.3, 0.9),
                    is_crowd=bool(rng.random() < 0.15),
                )
            )
            for _ in range(rng.integers(0, 4)):  # none, one, or several on the same person
                found.append(keypoints + rng.normal(0, side * rng.choice([0.0, 0.02, 0.08, 0.3]), (joints, 2)))
        found += [rng.uniform(0, 640, (joints, 2)) for _ in range(rng.integers(0, 3))]
        if rng.random() < 0.1:
            found += [rng.uniform(0, 640, (joints, 2)) for _ in range(25)]  # more than 20 in one image
        if rng.random() < 0.2:
            found = []
        count = len(found)
        order = rng.permutation(count)
        records.append(Record(None, int(image_id), (640, 640), skeleton, tuple(persons)))
        predictions.append(
            Poses(
                keypoints=np.array(found, np.float32).reshape(-1, joints, 2)[order],
                scores=np.ones((count, joints), np.float32),
                boxes=np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1)),
                box_scores=np.round(rng.random(count), 1).astype(np.float32),  # eleven values: many ties
                skeleton=skeleton,
                size_wh=(640, 640),
            )
        )
    return records, predictions


def _coco_truth(records: list[Record]) -> dict:
    annotations = []
    for record in records:
        for person in record.persons:
            xy = np.where(person.labelled[:, None], person.keypoints_px, 0)
            x0, y0, x1, y1 = person.box_xyxy.tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record.image_id,
                    "category_id": 1,
                    "iscrowd": int(person.is_crowd),
                    "num_keypoints": int(person.labelled.sum()),
                    "keypoints": np.concatenate([xy, person.visibility[:, None]], axis=1).ravel().tolist(),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": person.area_px,
                }
            )
    images = [{"id": record.image_id, "width": 640, "height": 640} for record in records]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def _pycocotools(records: list[Record], predictions: list[Poses], file: dict | None = None):
    coco_module, eval_module = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    results = [
        {
            "image_id": record.image_id,
            "category_id": 1,
            "keypoints": np.concatenate([xy, np.ones((len(xy), 1))], axis=1).astype(np.float64).ravel().tolist(),
            "score": float(score),
        }
        for record, poses in zip(records, predictions, strict=True)
        for xy, score in zip(poses.keypoints, poses.person_scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_module.COCO()
        truth.dataset = _coco_truth(records) if file is None else file
        truth.createIndex()
        evaluation = eval_module.COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(records[0].skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("skeleton", [COCO17, LSP14, TINY], ids=lambda s: s.name)
def test_ap_equals_pycocotools(rng: np.random.Generator, skeleton: Skeleton) -> None:
    for images in (3, 40):
        records, predictions = _random_images(rng, skeleton, images)
        if not sum(map(len, predictions)):
            continue  # pycocotools cannot read an empty result list
        want = _pycocotools(records, predictions).stats
        got = oks_ap(records, predictions).stats
        for name, value in zip(STATS, want, strict=True):
            assert (got[name] is None) == (value < 0), name
            if value >= 0:
                assert got[name] == pytest.approx(value, abs=1e-9), name


def test_ap_on_real_annotations_equals_pycocotools_on_the_file(shared_data: Path, rng: np.random.Generator) -> None:
    """The reader and the metric together: the file read by each side in its own way."""
    path = shared_data / "photos" / "coco" / "train" / "person_keypoints_train2017.json"
    records = coco.read(path, keep_unlabelled=True).records
    predictions = []
    for record in records:
        people = [np.where(p.labelled[:, None], p.keypoints_px, 0) for p in record.persons if rng.random() < 0.8]
        xy = np.array([k + rng.normal(0, 8, k.shape) for k in people], np.float32).reshape(-1, 17, 2)
        scores = np.round(rng.random(len(xy)), 1).astype(np.float32)
        predictions.append(
            Poses(xy, np.ones(xy.shape[:2]), np.zeros((len(xy), 4)), COCO17, (640, 640), box_scores=scores)
        )
    want = _pycocotools(records, predictions, json.loads(path.read_text(encoding="utf-8"))).stats
    got = oks_ap(records, predictions).stats
    np.testing.assert_allclose([got[name] for name in STATS], want, rtol=0, atol=1e-9)
    assert 0.01 < got["AP"] < 0.99  # neither side found nothing, or everything


def test_joint_table_counts_the_matches_of_pycocotools(rng: np.random.Generator) -> None:
    """The matching behind the table is COCO's: the same predictions on the same persons at OKS 0.5."""
    records, predictions = _random_images(rng, COCO17, 40)
    evaluation = _pycocotools(records, predictions)
    people = {a["id"]: a for a in evaluation.cocoGt.dataset["annotations"]}
    count = np.zeros(17, int)
    for image in evaluation.evalImgs[: len(records)]:  # the area range "all" comes first
        for gt_id in [] if image is None else image["dtMatches"][0]:
            person = people.get(int(gt_id))
            if person is not None and not person["ignore"]:
                count += np.array(person["keypoints"][2::3]) > 0
    table = oks_ap(records, predictions).table
    assert [row["count"] for row in table] == count.tolist()
    assert count.sum() > 0


def test_scores_of_equal_ids_follow_the_lists_order(rng: np.random.Generator) -> None:
    """Names instead of numbers: the order of the lists decides between equal scores, and nothing else changes."""
    records, predictions = _random_images(rng, COCO17, 30)
    order = np.argsort([r.image_id for r in records])
    named = [replace(records[i], image_id=f"photo {i}") for i in order]
    assert oks_ap(named, [predictions[i] for i in order]).stats == oks_ap(records, predictions).stats


# ------------------------------------------------------------------------------------------------ the edges
def _person(x: float, **more: object) -> Person:
    return Person(np.array([[x, 0.0], [x, 40.0], [x + 30, 80.0]]), np.full(3, 2), **{"area_px": 2000.0, **more})


def _record(*persons: Person, image_id: int | str = 1) -> Record:
    return Record(None, image_id, (200, 200), TINY, persons)


def _poses(*keypoints: np.ndarray, box_scores: object = None) -> Poses:
    xy = np.array(keypoints, np.float32).reshape(-1, 3, 2)
    return Poses(xy, np.ones(xy.shape[:2]), np.zeros((len(xy), 4)), TINY, (200, 200), box_scores=box_scores)


def test_perfect_half_and_nothing() -> None:
    a, b = _person(10.0), _person(100.0)
    perfect = oks_ap([_record(a, b)], [_poses(a.keypoints_px, b.keypoints_px)])
    assert perfect.value == pytest.approx(1.0, abs=1e-12)
    assert [row["value"] for row in perfect.table] == [1.0] * 3
    half = oks_ap([_record(a, b)], [_poses(a.keypoints_px)])
    # recall 0.5 at precision 1: 51 of the 101 recall levels 0, 0.01 ... 1 are reached
    assert half.value == pytest.approx(51 / 101)
    assert half.stats["AR"] == pytest.approx(0.5)
    assert [(row["count"], row["labelled"]) for row in half.table] == [(1, 2)] * 3
    nothing = oks_ap([_record(a, b)], [_poses()])
    assert nothing.value == 0
    assert nothing.stats["AR"] == 0
    assert [row["value"] for row in nothing.table] == [None] * 3


def test_nobody_to_find_is_none_not_zero() -> None:
    a = _person(10.0)
    for record in (
        _record(),
        _record(replace(a, is_crowd=True)),
        _record(replace(a, visibility=np.zeros(3), box_xyxy=np.zeros(4))),
    ):
        result = oks_ap([record], [_poses(a.keypoints_px)])
        assert result.value is None
        assert result.details["persons"] == 0
    assert oks_ap([_record(Person(np.zeros((3, 2)), np.zeros(3)))], [_poses()]).details["persons_without_place"] == 1


def test_crowd_and_unlabelled_people_excuse_predictions_on_them() -> None:
    a, box = _person(10.0), np.array([95.0, 0.0, 135.0, 80.0])
    on_b = _person(100.0).keypoints_px
    poses = _poses(on_b, a.keypoints_px, box_scores=[0.9, 0.5])  # the prediction on b comes first
    alone = oks_ap([_record(a)], [poses]).value
    assert alone == pytest.approx(0.5)  # a false one before the right one: precision 1/2 at every recall
    unlabelled = Person(on_b, np.zeros(3), box_xyxy=box, area_px=2000.0)
    crowd = replace(_person(100.0), is_crowd=True, box_xyxy=box)
    for other in (unlabelled, crowd):
        assert oks_ap([_record(a, other)], [poses]).value == pytest.approx(1.0)


def test_unpredicted_joints_are_wrong() -> None:
    a = _person(10.0)
    lost = a.keypoints_px.copy()
    lost[1:] = np.nan
    result = oks_ap([_record(a)], [_poses(lost)])
    assert result.value == 0  # OKS is 1/3, below every threshold
    corner = _person(0.0)  # a joint in the image's corner is not found by predicting nothing
    two = corner.keypoints_px.copy()
    two[0] = np.nan
    assert oks_ap([_record(corner)], [_poses(two)]).value == pytest.approx(
        4 / 10
    )  # 2/3: found at 0.50, 0.55, 0.60, 0.65


def test_area_comes_from_the_box_where_the_file_has_none() -> None:
    box = np.array([0.0, 0.0, 50.0, 80.0])
    bare, stated = (
        _person(10.0, area_px=None, box_xyxy=box),
        _person(10.0, area_px=BOX_AREA_FACTOR * 4000, box_xyxy=box),
    )
    poses = _poses(bare.keypoints_px + np.array([3.0, 4.0]))
    first, second = oks_ap([_record(bare)], [poses]), oks_ap([_record(stated)], [poses])
    assert first.stats == second.stats
    assert first.table == second.table
    assert (first.details["areas_estimated"], second.details["areas_estimated"]) == (1, 0)


def test_only_the_best_scored_are_looked_at() -> None:
    a = _person(10.0)
    away = [a.keypoints_px + 1000 + i for i in range(20)]
    late = _poses(*away, a.keypoints_px, box_scores=[0.9] * 20 + [0.1])
    few, more = oks_ap([_record(a)], [late]), oks_ap([_record(a)], [late], max_detections=21)
    assert few.value == 0
    assert more.value == pytest.approx(1 / 21)
    assert ([row["count"] for row in few.table], [row["count"] for row in more.table]) == ([0] * 3, [1] * 3)


def test_another_skeleton_is_mapped_by_name(rng: np.random.Generator) -> None:
    records, predictions = _random_images(rng, COCO17, 20)
    wider = [p.to_skeleton(VITRUVIAN19) for p in predictions]
    assert oks_ap(records, wider).stats == oks_ap(records, predictions).stats
    lsp, found = _random_images(rng, LSP14, 20)
    # someone without a label among the twelve is compared by the box, with all predicted joints: not here
    lsp = [replace(r, persons=tuple(p for p in r.persons if p.labelled[:12].any())) for r in lsp]
    result = oks_ap(lsp, [p.to_skeleton(COCO17) for p in found])
    assert result.details["joints_lacking"] == ["neck", "head_top"]
    assert len(result.table) == 12
    # leaving two joints out is the same as nobody having labelled them
    blind = [
        replace(
            r, persons=tuple(replace(p, visibility=np.where(np.arange(14) < 12, p.visibility, 0)) for p in r.persons)
        )
        for r in lsp
    ]
    twelve = oks_ap(blind, found).stats
    for name in STATS:
        # AP_M and AP_L also look at the extent of a prediction, which neck and head top may widen
        if name not in ("AP_M", "AP_L"):
            assert result.stats[name] == pytest.approx(twelve[name], abs=1e-9)


def test_lists_that_do_not_belong_together_are_refused() -> None:
    a = _person(10.0)
    with pytest.raises(ShapeError, match="no records"):
        oks_ap([], [])
    with pytest.raises(ShapeError, match="2 predictions for 1 records"):
        oks_ap([_record(a)], [_poses(), _poses()])
    with pytest.raises(ShapeError, match="sigma"):
        oks_ap([_record(a)], [_poses()], sigmas=[0.1])
    with pytest.raises(SkeletonError, match="share no joint"):
        oks_ap([_record(a)], [Poses(np.zeros((1, 17, 2)), np.ones((1, 17)), np.zeros((1, 4)), COCO17, (9, 9))])


def test_match_by_hand() -> None:
    similarity = np.array([[0.9, 0.8], [0.95, 0.2], [0.6, 0.7]])
    free = np.zeros(2, bool)
    assert match(similarity, np.array([0.5, 0.4, 0.3]), free, free, 0.5).tolist() == [0, -1, 1]
    assert match(similarity, np.array([0.3, 0.4, 0.5]), free, free, 0.5).tolist() == [-1, 0, 1]
    ignore = np.array([True, False])
    assert match(similarity, np.array([0.5, 0.4, 0.3]), ignore, free, 0.5).tolist() == [1, 0, -1]
    assert match(similarity, np.array([0.5, 0.4, 0.3]), ignore, ignore, 0.5).tolist() == [1, 0, 0]
