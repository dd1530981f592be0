"""What every metric must hold, whatever it measures. New entries of `METRICS` are picked up by themselves."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitruvian.metrics
from vitruvian.errors import ShapeError
from vitruvian.metrics import METRICS, MetricResult
from vitruvian.skeletons import COCO17, VITRUVIAN19
from vitruvian.types import Person, Poses, Record

BRICKS = {
    "groups",
    "boxes",
    "people",
    "pck_variants",
    "pose3d",
    "result",
    "scales",
    "taxonomy",
}  # serve the metrics, measure boxes or in 3D, explain
ERRORS = {"ece", "epe"}  # smaller is better
MASKS = {name for name in METRICS if name.startswith("mask")}
metrics = pytest.mark.parametrize("name", sorted(METRICS))
metrics_of_joints = pytest.mark.parametrize("name", sorted(METRICS.keys() - MASKS))
metrics_of_labels = pytest.mark.parametrize("name", sorted(METRICS.keys() - {"pck_system3"}))  # see its mistakes


def _people(rng: np.random.Generator, images: int = 6, noise: float = 0.0) -> tuple[list[Record], list[Poses]]:
    """People in all 19 joints with boxes, heads and masks, and predictions on them off by ``noise`` of their size."""
    records, predictions = [], []
    for i in range(images):
        persons, found, masks = [], [], []
        for _ in range(int(rng.integers(1, 4))):
            side = rng.uniform(30, 100)
            low = np.round(rng.uniform(0, 80, 2))
            keypoints = low + rng.uniform(0.1, 0.9, (19, 2)) * side
            high = low + np.round(side)
            polygon = [[float(v) for v in (low[0], low[1], high[0], low[1], high[0], high[1], low[0], high[1])]]
            persons.append(
                Person(
                    keypoints.astype(np.float32),
                    np.where(rng.random(19) < 0.9, 2, 0),
                    box_xyxy=np.concatenate([low, high]),
                    area_px=side * side,
                    segmentation=polygon,
                    head_box_xyxy=np.concatenate([low, low + side / 4]),
                )
            )
            found.append(keypoints + rng.normal(0, noise * side, (19, 2)))
            shift = int(noise * side)
            mask = np.zeros((200, 200), bool)
            mask[int(low[1]) : int(high[1]), int(low[0]) + shift : int(high[0]) + shift] = True
            masks.append(mask)
        count = len(found)
        boxes = np.array([p.box_xyxy for p in persons], np.float32)
        records.append(Record(Path(f"{i}.jpg"), i + 1, (200, 200), VITRUVIAN19, tuple(persons)))
        predictions.append(
            Poses(
                np.array(found),
                np.ones((count, 19)),
                boxes,
                VITRUVIAN19,
                (200, 200),
                path=Path(f"{i}.jpg"),
                masks=np.stack(masks),
            )
        )
    return records, predictions


def test_the_table_is_the_directory() -> None:
    folder = Path(inspect.getfile(vitruvian.metrics)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules - BRICKS == {inspect.getmodule(metric).__name__.rsplit(".", 1)[1] for metric in METRICS.values()}
    assert modules >= BRICKS


@metrics
def test_perfect_predictions_are_perfect(name: str, rng: np.random.Generator) -> None:
    result = METRICS[name](*_people(rng))
    if name in ERRORS:
        assert result.value == pytest.approx(0, abs=1e-4)
    elif name == "pck_system3":  # by its own rule not even the truth is right: unlabelled joints stand at x = 0
        assert result.value < 1
    else:
        assert result.value == pytest.approx(1, abs=0.03 if name in MASKS else 1e-4)


@metrics
def test_worse_predictions_are_worse(name: str, rng: np.random.Generator) -> None:
    seed = int(rng.integers(2**32))
    values = [METRICS[name](*_people(np.random.default_rng(seed), 12, noise)).value for noise in (0.02, 0.1, 0.3)]
    assert values == sorted(values, reverse=name not in ERRORS)
    assert values[0] != values[-1]


@metrics
def test_results_are_plain_and_complete(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    result = METRICS[name](*_people(rng, noise=0.1))
    assert isinstance(result, MetricResult)
    assert result.name
    assert result.table
    for row in result.table:
        assert {"value", "count"} <= set(row)
        assert (row["value"] is None) == (row["count"] == 0)
    text = result.to_json(tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON")) == result.to_dict()
    assert result.to_text().count("\n") == len(result.table) + 1


@metrics
def test_unpredicted_joints_are_never_better(name: str, rng: np.random.Generator) -> None:
    records, predictions = _people(rng, 20, 0.05)
    lost = [
        replace(p, keypoints=np.where(rng.random(p.scores.shape)[..., None] < 0.3, np.nan, p.keypoints))
        for p in predictions
    ]
    whole, less = METRICS[name](records, predictions), METRICS[name](records, lost)
    if name in MASKS:
        assert less.to_dict() == whole.to_dict()
    elif name in ERRORS:
        assert less.details["missing"] > whole.details["missing"] == 0
    else:
        assert less.value < whole.value


@metrics_of_labels
def test_what_is_not_labelled_does_not_matter(name: str, rng: np.random.Generator) -> None:
    records, predictions = _people(rng, 10, 0.1)
    moved = []
    for record, poses in zip(records, predictions, strict=True):
        unlabelled = np.array([~p.labelled for p in record.persons])
        # inside the rectangle of the other joints, so that the prediction's area stays what it is
        middle = np.array(
            [
                np.nanmean(np.where(u[:, None], np.nan, k), axis=0)
                for u, k in zip(unlabelled, poses.keypoints, strict=True)
            ]
        )
        spot = poses.keypoints * ~unlabelled[..., None] + middle[:, None] * unlabelled[..., None]
        moved.append(replace(poses, keypoints=spot))
    if name == "oks_ap":  # the area of a prediction is that of all its joints; it decides only AP_M and AP_L
        assert METRICS[name](records, moved).value == METRICS[name](records, predictions).value
    else:
        assert METRICS[name](records, moved).to_dict() == METRICS[name](records, predictions).to_dict()


@metrics
def test_crowds_do_not_matter(name: str, rng: np.random.Generator) -> None:
    records, predictions = _people(rng, 8, 0.1)
    before = METRICS[name](records, predictions)
    with_crowd, more = [], []
    for record, poses in zip(records, predictions, strict=True):
        crowd = Person(
            np.full((19, 2), 199.0),
            np.full(19, 2),
            box_xyxy=np.array([190.0, 190, 199, 199]),
            area_px=50.0,
            is_crowd=True,
        )
        with_crowd.append(replace(record, persons=(*record.persons, crowd)))
        index = np.append(np.arange(len(poses)), 0)
        grown = poses.select(index)
        keypoints = grown.keypoints.copy()
        keypoints[-1] = 199.0
        more.append(replace(grown, keypoints=keypoints))
    after = METRICS[name](with_crowd, more)
    assert after.value == before.value
    assert after.table == before.table


@metrics
def test_lists_that_do_not_belong_together_are_refused(name: str, rng: np.random.Generator) -> None:
    records, predictions = _people(rng, 3)
    with pytest.raises(ShapeError, match="no records"):
        METRICS[name]([], [])
    with pytest.raises(ShapeError, match="2 predictions for 3 records"):
        METRICS[name](records, predictions[:2])
    with pytest.raises(ShapeError, match="same order"):
        METRICS[name](records, predictions[::-1])


@metrics_of_joints
def test_joints_the_predictions_lack_are_named(name: str, rng: np.random.Generator) -> None:
    records, predictions = _people(rng)
    result = METRICS[name](records, [p.to_skeleton(COCO17) for p in predictions])
    assert result.details["joints_lacking"] == ["neck", "head_top"]
    assert len(result.table) == 17
