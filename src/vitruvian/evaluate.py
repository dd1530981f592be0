"""`evaluate`: predict on annotated images and measure, with the truth's boxes or with a detector's."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from .data.dataset import photo, takes_part
from .errors import ShapeError, VitruvianError
from .formats.coco import detections_of
from .formats.rle import PackedMasks
from .formats.writing import write_text
from .geometry import boxes as box_tools
from .metrics import METRICS, MetricResult
from .metrics.groups import GROUPS, ORDER
from .predict import Predictor, Selection, load
from .predict.masks import MaskFinder
from .provenance import provenance
from .types import Person, Poses, Record

PAIRS_ITSELF = ("oks_ap",)
"""Metrics that find out by themselves who was predicted where; only they can judge a detector's boxes."""

IN_PIXELS = ("epe",)
"""Metrics in pixels; all others are shares in [0, 1]."""

LOWER_IS_BETTER = (*IN_PIXELS, "ece")
"""Metrics that are errors."""

MASKS = "mask_"
"""How the names of metrics of masks begin."""

MASK_METRICS = tuple(name for name in METRICS if name.startswith(MASKS))

OVERALL = "overall"
"""The row of `joint_table` with a metric's headline."""

_BOX_MARGIN = 0.15  # of a person without a box: what training takes, see `PoseDataset.box`


def evaluate(
    model: Predictor | str | os.PathLike,
    records: Sequence[Record],
    metrics: Sequence[str] = ("pck",),
    flip: bool | str = False,
    batch: int = 16,
    boxes: str | Mapping[Any, tuple[np.ndarray, np.ndarray]] | None = None,
    progress: Callable[[int, int], None] | None = None,
    select: Selection | None = Selection(),
    by: Sequence[str] = (),
) -> dict[str, MetricResult]:
    """Measure a model on annotated images.

    Parameters
    ----------
    model : a loaded model, or what `vitruvian.load` takes.
    records : from `vitruvian.read`; images of one skeleton.
    metrics : names in `vitruvian.metrics.METRICS`.
    flip, batch : as in `Predictor.predict`.
    boxes : None or ``"truth"``: the annotated boxes (the labelled joints' extent grown by 15 % where there is none) of
        all persons with a labelled joint, but for those without a box whose labelled joints are all at one point; or a
        detector's, ``{image_id: (boxes (N, 4) xyxy, scores (N,))}`` as
        `formats.coco.read_detections` gives them, for ``"oks_ap"`` alone. ``"image"``: each person is looked for in the
        whole image, which is what models trained on whole pictures saw.
    progress : called with (images done, images in all).
    select : how people are scored, and so ranked: by their joints that score more than ``select.rescore_above``, on all
        kinds of boxes. In a detector's boxes also who is found twice is dropped, as in `Predictor.predict`; on the
        truth's there are as many people as boxes. None: the mean of all their joints, and nobody is dropped.
    by : names in `metrics.groups.GROUPS`: each result's ``details["by"]`` then has the figures of each kind of people
        alone, ``{name: [{"group", "people", "value"}, ...]}``. Not with a detector's boxes, which are nobody's.

    Returns
    -------
    For each metric its result. Crowd regions and persons without a labelled joint are never predicted; they remain
    part of the truth for ``"oks_ap"``, where they absorb false alarms. With metrics of masks alone the persons are
    those with a mask, whether they have joints or not.

    Raises
    ------
    VitruvianError
        An unknown metric, a metric that cannot judge detected boxes, metrics of joints of a model that finds none, no
        person to evaluate, or a record without an image. An image that cannot be read ends the evaluation: figures over
        fewer images would not compare.
    """
    check_metrics(metrics, detected=not (boxes is None or isinstance(boxes, str)))
    check_groups(by, detected=not (boxes is None or isinstance(boxes, str)))
    if isinstance(boxes, str) and boxes not in ("truth", "image"):
        raise VitruvianError(
            f"boxes must be None, 'truth', 'image' or a mapping of image ids to boxes and scores, got '{boxes}'"
        )
    part = judged_by(metrics)
    takes = part
    if isinstance(boxes, str) and boxes == "image":  # where somebody is does not matter
        takes = _outlined if part is masked else _jointed
    with_masks = any(name.startswith(MASKS) for name in metrics)
    blind = next((r for r in records if r.image_path is None and "pixels" not in r.extra), None)
    if blind is not None:
        raise VitruvianError(f"record {blind.image_id} names no image; read the annotations with their image folder")
    if not isinstance(boxes, Mapping) and select is not None:
        select = replace(select, same_person=None)
    if isinstance(boxes, Mapping):
        whole, given = list(records), [_detected(boxes, record) for record in records]
    else:
        # Images without anyone to predict add nothing to any figure: no prediction, no person that could be missed.
        whole = [record for record in records if any(map(takes, record.persons))]
        given = [(_boxes_of(record, [p for p in record.persons if takes(p)], boxes), None) for record in whole]
    if not whole:
        lacking = "mask" if part is masked else "labelled joint"
        raise VitruvianError(f"nothing to evaluate: no person with a {lacking} in {len(records)} images")
    if isinstance(model, Predictor):
        found = _predict_all(model, whole, given, flip, batch, progress, select, with_masks, part is counts)
    else:
        with load(model) as predictor:
            found = _predict_all(predictor, whole, given, flip, batch, progress, select, with_masks, part is counts)
    aligned = [replace(record, persons=tuple(filter(takes, record.persons))) for record in whole]
    results = {name: METRICS[name](whole if name in PAIRS_ITSELF else aligned, found) for name in metrics}
    return {name: _with_groups(name, result, aligned, found, by) for name, result in results.items()}


def _with_groups(
    metric: str, result: MetricResult, records: Sequence[Record], found: Sequence[Poses], by: Sequence[str]
) -> MetricResult:
    """The result, and in its details what it is for each kind of people alone."""
    if not by:
        return result
    tables = {}
    for name in by:
        kinds = [[GROUPS[name](person) for person in record.persons] for record in records]
        rows = []
        for kind in sorted({kind for own in kinds for kind in own if kind is not None}, key=ORDER.index):
            truth, poses = [], []
            for record, pose, own in zip(records, found, kinds, strict=True):
                chosen = [i for i, of in enumerate(own) if of == kind]
                if chosen:
                    truth.append(replace(record, persons=tuple(record.persons[i] for i in chosen)))
                    poses.append(pose.select(chosen))
            value = METRICS[metric](truth, poses).value
            rows.append({"group": kind, "people": sum(map(len, poses)), "value": value})
        tables[name] = rows
    return replace(result, details={**result.details, "by": tables})


def judged_by(metrics: Sequence[str]) -> Callable[[Person], bool]:
    """Who takes part in an evaluation: those with a mask where all metrics are of masks, else those with a joint."""
    return masked if all(name.startswith(MASKS) for name in metrics) else counts


def counts(person: Person) -> bool:
    """Whether a person takes part: not a crowd, at least one joint is labelled, and it is known where."""
    return takes_part(person, "joint")


def masked(person: Person) -> bool:
    """Whether a person takes part where masks alone are measured: not a crowd, with a mask, and it is known where."""
    return takes_part(person, "mask")


def _jointed(person: Person) -> bool:
    return not person.is_crowd and bool(person.labelled.any())


def _outlined(person: Person) -> bool:
    return not person.is_crowd and person.segmentation is not None


def _boxes_of(record: Record, people: Sequence[Person], boxes: object) -> np.ndarray:
    """(N, 4) where each of an image's people is looked for."""
    if boxes != "image":
        return np.stack([truth_box(person) for person in people])
    size_wh = record.size_wh or photo(record).shape[1::-1]
    return np.repeat(box_tools.whole_image((int(size_wh[0]), int(size_wh[1])))[None], len(people), axis=0)


def truth_box(person: Person) -> np.ndarray:
    """(4,) the annotated box, or the labelled joints' extent with a margin where there is none."""
    if person.box_xyxy is not None:
        return np.asarray(person.box_xyxy, dtype=np.float64)
    return box_tools.around_points(person.keypoints_px, _BOX_MARGIN)


def to_report(
    results: Mapping[str, MetricResult],
    predictor: Predictor,
    *,
    split: str,
    boxes: str,
    flip: bool | str,
    images: int,
    select: Selection | None = None,
) -> dict[str, Any]:
    """The results with what they depend on (model, split, boxes, flip, commit, versions), as plain data for JSON.

    ``select`` is how people were scored and, in a detector's boxes, dropped; None: by the mean of their joints.
    """
    return {
        "model": predictor.card.name,
        "runtime": predictor.description,
        "split": split,
        "images": images,
        "boxes": boxes,
        "flip": flip,
        "select": None if select is None else asdict(select),
        **provenance(),
        "metrics": {name: result.to_dict() for name, result in results.items()},
    }


def joint_table(columns: Mapping[str, Mapping[str, MetricResult]]) -> list[dict[str, Any]]:
    """Joint by joint, models beside each other.

    Parameters
    ----------
    columns : model name -> what `evaluate` gave for it, all on the same images.

    Returns
    -------
    For each metric of the first model a row a joint and at last the row ``overall``, the metric's headline, which need
    not be the mean of the rows above (PCK's is the limbs' mean, PCKh's is pooled over all joints):
    ``{"metric", "name", "joint", "count", **{model: value}}``, None where a model has no such joint. ``count`` is that
    of the first model that has the joint.
    """
    first = next(iter(columns.values()))
    rows = []
    for metric, headline in first.items():
        tables = {
            model: {_label(row): row for row in results[metric].table if "value" in row}
            for model, results in columns.items()
        }
        joints = list(dict.fromkeys(joint for table in tables.values() for joint in table))
        head = {"metric": metric, "name": headline.name}
        for joint in joints:
            count = next(table[joint]["count"] for table in tables.values() if joint in table)
            values = {model: table[joint]["value"] if joint in table else None for model, table in tables.items()}
            rows.append({**head, "joint": joint, "count": count, **values})
        headlines = {model: results[metric].value for model, results in columns.items()}
        rows.append({**head, "joint": OVERALL, "count": None, **headlines})
    return rows


def write_joint_table(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `joint_table`'s rows as Markdown (``.md``: percent, a table a metric) or ``.csv`` (the values as they are).

    Raises
    ------
    VitruvianError
        Another suffix, or no rows.
    """
    path = Path(path)
    check_table_path(path)
    if not rows:
        raise VitruvianError(f"nothing to write to {path.name}: no metric was measured")
    if path.suffix.lower() == ".csv":
        return write_csv(path, rows)
    models = [key for key in rows[0] if key not in ("metric", "name", "joint", "count")]
    blocks = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        own = [row for row in rows if row["metric"] == metric]
        percent = metric not in IN_PIXELS
        lines = [f"{own[0]['name']}{', percent' if percent else ''}", ""]
        lines.append("| joint | " + " | ".join(model.replace("|", "/") for model in models) + " |")
        lines.append("|---|" + "---:|" * len(models))
        for row in own:
            mark = "**" if row["joint"] == OVERALL else ""
            cells = ["-" if (v := row[m]) is None else f"{mark}{100 * v if percent else v:.2f}{mark}" for m in models]
            lines.append(f"| {mark}{row['joint'].replace('_', ' ')}{mark} | " + " | ".join(cells) + " |")
        blocks.append("\n".join(lines))
    return write_text(path, "\n\n".join(blocks) + "\n")


def check_table_path(path: str | os.PathLike) -> None:
    """`VitruvianError` unless the path ends in ``.md`` or ``.csv``."""
    if Path(path).suffix.lower() not in (".md", ".csv"):
        raise VitruvianError(f"a per-joint table is an .md or a .csv file, got '{Path(path).name}'")


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows with equal keys as CSV, atomically; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_text(path, text.getvalue())


def _label(row: Mapping[str, Any]) -> str:
    """What a row of a metric's table is about: a joint, or for masks a size group."""
    return str(next(iter(row.values())))


def check_metrics(metrics: Sequence[str], detected: bool) -> None:
    if isinstance(metrics, str) or not metrics:
        raise VitruvianError(f"metrics must be a sequence of names such as ('pck',), got {metrics!r}")
    for name in metrics:
        if name not in METRICS:
            raise VitruvianError(f"unknown metric '{name}'; known: {', '.join(sorted(METRICS))}")
        if detected and name not in PAIRS_ITSELF:
            raise VitruvianError(
                f"'{name}' compares person by person, which needs the truth's boxes; on detected boxes use "
                f"{' or '.join(PAIRS_ITSELF)}"
            )


def check_groups(by: Sequence[str], detected: bool) -> None:
    """`VitruvianError` for a name that is not in `GROUPS`, or groups of a detector's boxes."""
    for name in by:
        if name not in GROUPS:
            raise VitruvianError(f"unknown kind of people '{name}'; known: {', '.join(GROUPS)}")
    if by and detected:
        raise VitruvianError("kinds of people are those of annotated ones: use the truth's boxes")


def _detected(boxes: Mapping[Any, tuple[np.ndarray, np.ndarray]], record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of an image, without boxes that have no area; none where the detector found nobody."""
    entry = boxes.get(record.image_id)
    if entry is None and record.image_path is not None:
        entry = detections_of(dict(boxes), record.image_path)
    found, scores = entry if entry is not None else (np.zeros((0, 4)), np.zeros(0))
    found, scores = box_tools.as_boxes(found), np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(found) != len(scores):
        raise ShapeError(f"image {record.image_id}: got {len(found)} boxes and {len(scores)} scores")
    seen = found if record.size_wh is None else box_tools.clip(found, record.size_wh)
    usable = box_tools.area(seen) > 0
    return found[usable], scores[usable]


def _predict_all(
    predictor: Predictor,
    records: Sequence[Record],
    given: Sequence[tuple[np.ndarray, np.ndarray | None]],
    flip: bool | str,
    batch: int,
    progress: Callable[[int, int], None] | None,
    select: Selection | None,
    with_masks: bool = False,
    with_joints: bool = True,
) -> list[Poses]:
    if with_joints and not predictor.card.codec.finds_joints:
        raise VitruvianError(
            f"'{predictor.card.name}' finds no joints, which these metrics are about; masks have "
            f"{', '.join(MASK_METRICS)}"
        )
    found: list[Poses] = []
    finder = MaskFinder(predictor.backend) if with_masks else None  # says so where the model has no masks
    images = (r.extra["pixels"]() if "pixels" in r.extra else r.image_path for r in records)  # see `data.dataset.photo`
    boxes = (one for one, _ in given)
    stream = predictor.stream(images, boxes, flip=flip, batch=batch, keep_images=with_masks)
    for result, (_, scores) in zip(stream, given, strict=True):
        if result.error is not None:
            raise result.error
        assert result.poses is not None
        poses = result.poses if scores is None else replace(result.poses, box_scores=scores)
        poses = poses if select is None else select(poses)
        if finder is not None and result.image is not None:
            poses = finder(result.image, poses, bool(flip), batch)
            if poses.masks is not None:  # packed, or memory would grow by the size of every photo
                poses = replace(poses, masks=PackedMasks(poses.masks))
        found.append(poses)
        if progress is not None:
            progress(len(found), len(records))
    return found
