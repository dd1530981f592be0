"""Who is predicted on which box, and that each prediction meets its own truth."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec, PixelsCodec
from vitruvian.errors import ImageError, ShapeError, VitruvianError
from vitruvian.evaluate import (
    counts,
    evaluate,
    joint_table,
    judged_by,
    masked,
    to_report,
    truth_box,
    write_joint_table,
)
from vitruvian.metrics import MetricResult
from vitruvian.predict import Predictor, Result, Selection
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import LSP14
from vitruvian.types import Person, Poses, Record
from vitruvian.weights import Card


class Oracle(Predictor):
    """Knows every person by its box, and misses by ``error_px``; says nothing at all of boxes it does not know."""

    def __init__(self, records: list[Record], error_px: float = 0.0) -> None:
        self.card = Card("oracle", "none", LSP14, Preprocess(), HeatmapCodec())
        self.description = "oracle"
        self._persons = {tuple(truth_box(p)): p for r in records for p in r.persons if p.labelled.any()}
        self._error_px = error_px
        self.asked: list[tuple] = []

    def stream(self, sources, boxes=None, flip=False, batch=8, prefetch=8, keep_images=False) -> Iterator[Result]:
        for i, (source, given) in enumerate(zip(sources, boxes, strict=True)):
            self.asked.append((source, np.asarray(given).tolist(), flip, batch))
            if isinstance(source, Path) and source.name == "broken.jpg":
                yield Result(i, source, error=ImageError(source, "truncated"))
                continue
            points = []
            for box in np.asarray(given).reshape(-1, 4):
                person = self._persons.get(tuple(box))
                points.append(np.full((14, 2), np.nan) if person is None else np.nan_to_num(person.keypoints_px, nan=5))
            keypoints = np.array(points).reshape(-1, 14, 2) + np.array([self._error_px, 0])
            path = source if isinstance(source, Path) else None
            yield Result(
                i, path, Poses(keypoints, np.full(keypoints.shape[:2], 0.9), given, LSP14, (900, 600), path=path)
            )


@pytest.fixture
def person(rng):
    def make(labelled: bool = True, **fields) -> Person:
        centre = rng.uniform(100, 500, 2)
        keypoints = centre + rng.uniform(-80, 80, (14, 2))
        # a torso of exactly 100 px, so that distances read as shares
        keypoints[LSP14.index("right_hip")] = keypoints[LSP14.index("left_shoulder")] + [60, 80]
        box = np.concatenate([centre - 90, centre + 90]) + rng.uniform(-5, 5, 4)
        return Person(keypoints, np.full(14, 2 if labelled else 0), **({"box_xyxy": box} | fields))

    return make


@pytest.fixture
def records(person) -> list[Record]:
    unlabelled, crowd = person(False), person(is_crowd=True)
    people = (
        (person(), person()),
        (),
        (unlabelled, person(), crowd, person()),
        (unlabelled,),
        (person(box_xyxy=None),),
    )
    return [Record(Path(f"{i}.jpg"), i, (900, 600), LSP14, persons) for i, persons in enumerate(people)]


def test_a_model_of_masks_has_no_joints_to_measure(records) -> None:
    oracle = Oracle(records)
    oracle.card = replace(oracle.card, name="masks", codec=PixelsCodec((192, 256), heads=("mask",)))
    with pytest.raises(VitruvianError, match="'masks' finds no joints, .* masks have mask_boundary_f, mask_dice"):
        evaluate(oracle, records, ["pck"])
    assert oracle.asked == []


def test_people_of_whom_a_point_alone_is_known_are_left_out(records, person):
    """No box, and one labelled joint: there is nowhere to look."""
    whole = person(box_xyxy=None)
    lone = replace(whole, visibility=np.eye(14, dtype=int)[3] * 2)
    two = replace(whole, visibility=(np.eye(14, dtype=int)[3] + np.eye(14, dtype=int)[8]) * 2)
    assert [counts(lone), counts(two), counts(replace(lone, box_xyxy=np.array([0.0, 0, 9, 9])))] == [False, True, True]
    more = [*records, replace(records[0], image_id=9, image_path=Path("9.jpg"), persons=(lone,))]
    assert evaluate(Oracle(records), more, ["pck"])["pck"].value == 1


def test_masks_alone_judge_those_who_have_one() -> None:
    assert judged_by(("mask_dice", "mask_iou")) is masked
    assert judged_by(("mask_dice", "pck")) is judged_by(("pck",)) is counts


def test_every_person_meets_its_own_truth(records):
    for error_px, pck in ((0.0, 1.0), (19.9, 1.0), (20.1, 0.0)):
        oracle = Oracle(records, error_px)
        results = evaluate(oracle, records, ("pck", "epe"), flip=True, batch=3)
        assert list(results) == ["pck", "epe"]
        assert results["pck"].value == pck
        assert results["epe"].value == pytest.approx(error_px, abs=1e-3)
        assert results["pck"].details["persons"] == 5
    asked = {source.name: (len(boxes), flip, batch) for source, boxes, flip, batch in oracle.asked}
    # neither crowds nor people without joints are looked for, nor images that have nobody else
    assert asked == {"0.jpg": (2, True, 3), "2.jpg": (2, True, 3), "4.jpg": (1, True, 3)}


def test_boxes_are_the_truths(records):
    oracle = Oracle(records)
    evaluate(oracle, records, boxes="truth")
    expected = [truth_box(p).tolist() for r in records for p in r.persons if p.labelled.any() and not p.is_crowd]
    assert [box for _, boxes, _, _ in oracle.asked for box in boxes] == expected
    person = records[4].persons[0]
    low, high = person.keypoints_px.min(axis=0), person.keypoints_px.max(axis=0)
    margin = 0.15 * (high - low).max()
    np.testing.assert_allclose(expected[-1], [*(low - margin), *(high + margin)])


def test_oks_ap_keeps_the_whole_truth(records):
    pytest.importorskip("faster_coco_eval")
    result = evaluate(Oracle(records), records, ["oks_ap"])["oks_ap"]
    assert result.value == pytest.approx(1.0)
    assert result.details["persons"] == 5
    assert result.details["persons_ignored"] == 2  # the crowd, and the one without joints beside counted people


def test_detected_boxes(records):
    pytest.importorskip("faster_coco_eval")
    found = {
        record.image_id: (np.array([truth_box(p) for p in record.persons if p.labelled.any()]).reshape(-1, 4), None)
        for record in records
    }
    detections = {i: (boxes, np.full(len(boxes), 0.8)) for i, (boxes, _) in found.items() if i != 0}
    box = detections[4][0]
    detections[4] = (np.concatenate([box, [[7, 7, 7, 9]], box + 1]), np.array([0.8, 0.7, 0.6]))
    oracle = Oracle(records)
    result = evaluate(oracle, records, ["oks_ap"], boxes=detections)["oks_ap"]
    assert [len(boxes) for _, boxes, _, _ in oracle.asked] == [0, 0, 3, 0, 2]  # every image; no box without area
    assert result.details["predictions"] == 5
    assert result.value == pytest.approx(3 / 5, abs=0.05)  # two of five people were not detected
    by_name = {f"{record.image_path.stem}": detections[record.image_id] for record in records[1:]}
    again = evaluate(oracle, [replace(r, image_id=100 + r.image_id) for r in records], ["oks_ap"], boxes=by_name)
    assert again["oks_ap"].value == result.value
    with pytest.raises(VitruvianError, match="'pck' compares person by person"):
        evaluate(oracle, records, ["oks_ap", "pck"], boxes=detections)
    with pytest.raises(ShapeError, match="2 boxes and 1 scores"):
        evaluate(oracle, records, ["oks_ap"], boxes={0: (found[0][0], np.ones(1))})


def test_people_in_detected_boxes_are_selected(records, monkeypatch):
    """The truth's boxes give as many people as there are; a detector's may hold one person twice."""
    from vitruvian import evaluate as function
    from vitruvian.metrics import METRICS

    seen: list[list[Poses]] = []
    result = MetricResult("x", 1.0, ())
    monkeypatch.setitem(METRICS, "oks_ap", lambda truth, predictions: seen.append(list(predictions)) or result)
    person = records[4].persons[0]
    box = truth_box(person)
    boxes = {4: (np.stack([box, box]), np.array([0.5, 0.75]))}
    for select, expected in ((Selection(), [0.75]), (None, [0.5, 0.75])):
        function(Oracle(records), records, ["oks_ap"], boxes=boxes, select=select)
        found = seen.pop()[4]
        np.testing.assert_allclose(found.box_scores, expected)
        assert found.rescore_above == (None if select is None else 0.2)
    function(Oracle(records), records, ["oks_ap"])
    truth = seen.pop()
    assert sum(map(len, truth)) == 5
    assert all(poses.rescore_above == 0.2 for poses in truth)


def test_people_are_ranked_by_the_joints_above_a_score(records, monkeypatch):
    """On the truth's boxes too: the mean of the joints above 0.2, of those above another score, or of all of them."""
    from vitruvian.metrics import METRICS

    class Unsure(Oracle):
        def stream(self, *arguments, **options) -> Iterator[Result]:
            for result in super().stream(*arguments, **options):
                scores = np.tile(np.repeat([0.9, 0.5, 0.2], [4, 2, 8]), (len(result.poses), 1))
                yield replace(result, poses=replace(result.poses, scores=scores))

    seen: list[np.ndarray] = []
    result = MetricResult("x", 1.0, [])
    monkeypatch.setitem(
        METRICS, "oks_ap", lambda truth, found: seen.append(np.concatenate([p.person_scores for p in found])) or result
    )
    everybody = records[0].persons[:1] * 2  # found twice by the truth's boxes: two people all the same
    truth = [*records[1:], replace(records[0], persons=everybody)]
    for options, expected in (
        ({}, (4 * 0.9 + 2 * 0.5) / 6),
        ({"select": Selection(rescore_above=0.5)}, 0.9),
        ({"select": Selection(rescore_above=None)}, (4 * 0.9 + 2 * 0.5 + 8 * 0.2) / 14),
        ({"select": None}, (4 * 0.9 + 2 * 0.5 + 8 * 0.2) / 14),
    ):
        evaluate(Unsure(truth), truth, ["oks_ap"], **options)
        np.testing.assert_allclose(seen.pop(), np.full(5, expected), rtol=1e-5)


def test_pictures_that_are_painted_on_demand(records):
    picture = np.zeros((4, 4, 3), np.uint8)
    painted = [replace(r, image_path=None, extra={"pixels": lambda: picture}) for r in records]
    oracle = Oracle(records)
    assert evaluate(oracle, painted)["pck"].value == 1.0
    assert all(source is picture for source, *_ in oracle.asked)


def test_progress(records):
    seen = []
    evaluate(Oracle(records), records, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_errors(records):
    oracle = Oracle(records)
    with pytest.raises(VitruvianError, match="unknown metric 'pkc'; known: .*pck"):
        evaluate(oracle, records, ["pkc"])
    with pytest.raises(VitruvianError, match="sequence of names"):
        evaluate(oracle, records, "pck")
    with pytest.raises(VitruvianError, match="'truth'"):
        evaluate(oracle, records, boxes="detector")
    with pytest.raises(VitruvianError, match="no person with a labelled joint in 1 images"):
        evaluate(oracle, records[3:4])
    with pytest.raises(VitruvianError, match="record 0 names no image"):
        evaluate(oracle, [replace(records[0], image_path=None)])
    with pytest.raises(ImageError, match="truncated"):
        evaluate(oracle, [*records, replace(records[0], image_path=Path("broken.jpg"))])


def test_report(records, tmp_path):
    oracle = Oracle(records)
    results = evaluate(oracle, records)
    report = to_report(results, oracle, split="dev", boxes="truth", flip=False, images=5)
    loaded = json.loads(json.dumps(report, allow_nan=False))
    assert loaded["model"] == "oracle"
    assert loaded["metrics"]["pck"]["value"] == 1.0
    assert {"split", "boxes", "flip", "images", "runtime", "date", "commit", "versions"} <= set(loaded)
    assert loaded["select"] is None
    report = to_report(results, oracle, split="dev", boxes="truth", flip=False, images=5, select=Selection())
    chosen = {"rescore_above": 0.2, "same_person": 0.9, "all_joints": True, "person_above": None, "sure_box": None}
    assert report["select"] == chosen


def test_a_model_by_path(records, tiny_model, tmp_path, rng):
    from vitruvian.data import write_image

    moved = []
    for record in records[:3]:
        path = write_image(tmp_path / record.image_path.name.replace("jpg", "png"), np.zeros((600, 900, 3), np.uint8))
        moved.append(replace(record, image_path=path))
    result = evaluate(tiny_model, moved, ("pck", "epe"), batch=2)
    assert 0 <= result["pck"].value <= 1
    assert result["epe"].value > 0
    assert result["pck"].details["persons"] == 4


def result_of(name: str, value: float | None, joints: dict[str, float | None]) -> MetricResult:
    table = [{"joint": joint, "value": v, "count": 0 if v is None else 40} for joint, v in joints.items()]
    return MetricResult(name, value, table)


@pytest.fixture
def columns() -> dict[str, dict[str, MetricResult]]:
    return {
        "supervised": {
            "pckh": result_of("PCKh@0.5", 0.8549, {"right_ankle": 0.7105, "head_top": 0.9577}),
            "epe": result_of("EPE px", 4.126, {"right_ankle": 7.0, "head_top": None}),
        },
        "sane|1": {
            "pckh": result_of("PCKh@0.5", 0.8643, {"head_top": 0.9585, "right_ankle": 0.7272, "neck": 0.972}),
            "epe": result_of("EPE px", None, {"right_ankle": 6.5}),
        },
    }


def test_joint_table_lays_models_beside_each_other(columns):
    rows = joint_table(columns)
    assert [(r["metric"], r["joint"]) for r in rows] == [
        *(("pckh", joint) for joint in ("right_ankle", "head_top", "neck", "overall")),
        *(("epe", joint) for joint in ("right_ankle", "head_top", "overall")),
    ]
    assert [(r["supervised"], r["sane|1"]) for r in rows] == [
        (0.7105, 0.7272), (0.9577, 0.9585), (None, 0.972), (0.8549, 0.8643), (7.0, 6.5), (None, None), (4.126, None),
    ]  # fmt: skip
    assert [r["count"] for r in rows] == [40, 40, 40, None, 40, 0, None]


def test_joint_tables_as_files(columns, tmp_path):
    rows = joint_table(columns)
    text = write_joint_table(tmp_path / "new" / "t.md", rows).read_text(encoding="utf-8")
    assert text == (
        "PCKh@0.5, percent\n\n"
        "| joint | supervised | sane/1 |\n|---|---:|---:|\n"
        "| right ankle | 71.05 | 72.72 |\n| head top | 95.77 | 95.85 |\n| neck | - | 97.20 |\n"
        "| **overall** | **85.49** | **86.43** |\n\n"
        "EPE px\n\n"
        "| joint | supervised | sane/1 |\n|---|---:|---:|\n"
        "| right ankle | 7.00 | 6.50 |\n| head top | - | - |\n| **overall** | **4.13** | - |\n"
    )
    with write_joint_table(tmp_path / "t.csv", rows).open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [{k: v or None for k, v in row.items()} for row in read] == [
        {k: None if v is None else str(v) for k, v in row.items()} for row in rows
    ]
    with pytest.raises(VitruvianError, match=r"an .md or a .csv file, got 't.txt'"):
        write_joint_table(tmp_path / "t.txt", rows)
    with pytest.raises(VitruvianError, match="no metric"):
        write_joint_table(tmp_path / "empty.csv", [])


def test_joint_table_of_what_was_measured(records):
    right, off = evaluate(Oracle(records), records, ("pck",)), evaluate(Oracle(records, 30.0), records, ("pck",))
    rows = joint_table({"right": right, "off": off})
    assert [row["joint"] for row in rows] == [*LSP14.joints, "overall"]
    assert {(row["right"], row["off"]) for row in rows} == {(1.0, 0.0)}


@pytest.mark.parametrize("metric", ["pck", "oks_ap"])
def test_groups_are_what_their_people_have_alone(metric, rng) -> None:
    """Each group's figure is that of an evaluation of these people only, whatever the others are like."""
    records = []
    for i in range(6):
        people = []
        for j in range(3):
            corner = np.array([300.0 * j, 0.0])
            side = float(rng.choice([25, 60, 200]))
            keypoints = corner + rng.uniform(0, side, (14, 2))
            box = np.array([*corner, *(corner + side)])
            people.append(Person(keypoints, np.full(14, 2), box_xyxy=box, area_px=side**2 * 0.9, id=3 * i + j))
        records.append(Record(Path(f"{i}.jpg"), i, (900, 600), LSP14, tuple(people)))
    oracle = Oracle(records, error_px=6.0)
    result = evaluate(oracle, records, [metric], by=["size"])[metric]
    assert len({row["group"] for row in result.details["by"]["size"]}) == len(result.details["by"]["size"]) >= 1
    from vitruvian.metrics.groups import size

    for row in result.details["by"]["size"]:
        own = [replace(r, persons=tuple(p for p in r.persons if size(p) == row["group"])) for r in records]
        own = [r for r in own if r.persons]
        assert row["people"] == sum(len(r.persons) for r in own)
        assert row["value"] == evaluate(oracle, own, [metric])[metric].value
    plain = evaluate(oracle, records, [metric])[metric]
    assert plain.value == result.value
    assert "by" not in plain.details


def test_groups_that_cannot_be() -> None:
    with pytest.raises(VitruvianError, match="unknown kind of people 'age'"):
        evaluate(Oracle([]), [], by=["age"])
    with pytest.raises(VitruvianError, match="truth's boxes"):
        evaluate(Oracle([]), [], metrics=["oks_ap"], boxes={}, by=["size"])
