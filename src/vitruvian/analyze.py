"""`analyze`: where a model's predictions go wrong, what each kind of mistake costs, and the worst to look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .data.dataset import in_skeleton, photo
from .draw.analysis import Example, analysis_page
from .draw.comparison import compare
from .errors import VitruvianError
from .evaluate import counts, truth_box
from .formats.coco import detections_of
from .geometry import boxes as box_tools
from .metrics import MetricResult
from .metrics.calibration import RIGHT, Reliability, ece_result, fit_by_joint, fit_curve, joints_right, reliability
from .metrics.people import align
from .metrics.taxonomy import KINDS, Taxonomy, taxonomy
from .predict import Predictor, load
from .types import Person, Poses, Record
from .weights.calibration import Calibration

SECTIONS = {
    "miss": "Misses: nowhere near any joint",
    "inversion": "Inversions: left and right exchanged",
    "turned": "Turned people: all of left and right exchanged, by the prediction or by the label",
    "swap": "Swaps: on another person",
    "jitter": "Jitter: near, but not near enough",
    "score_error": "Score errors: a worse pose scores more",
    "false_positive": "False positives, best-scored first",
    "false_negative": "False negatives, largest first",
}
_PICTURE_PX = 300
_AROUND = 0.25  # of the box's longer side, so that joints outside of it are seen


@dataclass(frozen=True, eq=False)
class Analysis:
    """What `analyze` found.

    Attributes
    ----------
    records, poses : the images that were analysed and the people found in them, in the same order.
    taxonomy : kinds of mistakes and what they cost.
    calibration : the metric ``"ece"``, of joints within OKS's 0.5; None for predictions that were not made on the
        truth's boxes.
    """

    records: tuple[Record, ...]
    poses: tuple[Poses, ...]
    taxonomy: Taxonomy
    calibration: MetricResult | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        calibration = None if self.calibration is None else self.calibration.to_dict()
        return {"images": len(self.records), **self.taxonomy.to_dict(), "calibration": calibration}


def analyze(
    model: Predictor | str | os.PathLike | Mapping[Any, Poses],
    records: Sequence[Record],
    flip: bool | str = False,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Sort a model's mistakes on annotated images into kinds.

    Parameters
    ----------
    model : a loaded model or what `vitruvian.load` takes, which predicts on the truth's boxes; or predictions by image
        id, as `formats.coco.read_results` gives them. An image that these do not mention has nobody found in it.
    records : of one skeleton.
    flip, batch : as in `Predictor.predict`.
    progress : called with (images done, images in all).

    Raises
    ------
    VitruvianError
        Nobody to find, or predictions of other images.
    """
    if not any(counts(person) for record in records for person in record.persons):
        raise VitruvianError(f"nothing to analyse: no person with a labelled joint in {len(records)} images")
    if isinstance(model, Mapping):
        poses = _given(model, records)
        return Analysis(tuple(records), tuple(poses), taxonomy(records, poses), None)
    # Images without anyone to predict add nothing; crowds and people without joints are not predicted.
    chosen = [replace(r, persons=tuple(filter(counts, r.persons))) for r in records if any(map(counts, r.persons))]
    if isinstance(model, Predictor):
        poses = _predicted(model, chosen, flip, batch, progress)
    else:
        with load(model) as predictor:
            poses = _predicted(predictor, chosen, flip, batch, progress)
    return Analysis(tuple(chosen), tuple(poses), taxonomy(chosen, poses), ece_result(chosen, poses, by="oks"))


def calibrated(analysis: Analysis, fitted_on: str) -> tuple[Calibration, Reliability, Reliability]:
    """A curve from the model's scores to chances of being right (within OKS's 0.5), and reliability before and after.

    The curve, with a number for each of the model's joints, is fitted on all people; "after" is of scores by curves
    that were fitted on the other half of the images.

    Raises
    ------
    VitruvianError
        Predictions that were not made on the truth's boxes, or too few joints.
    """
    if analysis.calibration is None:
        raise VitruvianError("calibration compares person by person, which needs a model's predictions on true boxes")
    skeleton = analysis.poses[0].skeleton
    people = align([in_skeleton(record, skeleton) for record in analysis.records], analysis.poses)
    right = joints_right(people, by="oks")
    counted = ~np.isnan(right)
    number = {image_id: i for i, image_id in enumerate(dict.fromkeys(image_id for image_id, _ in people.origin))}
    half = np.array([number[image_id] % 2 for image_id, _ in people.origin])[:, None] == np.ones_like(right)
    scores, after = people.scores, np.zeros_like(people.scores)
    for fit, judge in ((half, ~half), (~half, half)):
        after[judge] = _fitted(scores, np.where(fit, right, np.nan))(scores)[judge]
    every = replace(_fitted(scores, right), right=RIGHT["oks"], fitted_on=fitted_on)
    before, judged = (reliability(values[counted], right[counted] > 0) for values in (scores, after))
    return every, before, judged


def _fitted(scores: np.ndarray, right: np.ndarray) -> Calibration:
    """Of (N, K) scores and whether they are right, NaN where that is not to count."""
    counted = ~np.isnan(right)
    curve = Calibration(fit_curve(scores[counted], right[counted] > 0))
    return replace(curve, by_joint=fit_by_joint(curve(scores), right))


def worst(analysis: Analysis, count: int = 8) -> dict[str, list[tuple[int, int | None, int | None]]]:
    """The worst of each section: (image, prediction or None, person or None), worst first.

    Of joints' kinds those people whose joints of the kind lack most similarity; every person once a section.
    """
    found: dict[str, list[tuple[float, int, int | None, int | None]]] = {name: [] for name in SECTIONS}
    for p in analysis.taxonomy.people:
        for kind in ("miss", "inversion", "swap", "jitter"):
            of = p.kinds == KINDS.index(kind)
            section = "turned" if p.turned and kind == "inversion" else kind
            if of.any():
                found[section].append((float((1 - p.similarity[of]).sum()), p.image, p.prediction, p.person))
    matched = {(p.image, p.person): p.prediction for p in analysis.taxonomy.people}
    for image, person in analysis.taxonomy.score_errors:
        score = float(analysis.poses[image].person_scores.max())
        found["score_error"].append((score, image, matched.get((image, person)), person))
    for image, prediction in analysis.taxonomy.false_positives:
        found["false_positive"].append(
            (float(analysis.poses[image].person_scores[prediction]), image, prediction, None)
        )
    for image, person in analysis.taxonomy.false_negatives:
        area = float(box_tools.area(truth_box(analysis.records[image].persons[person])))
        found["false_negative"].append((area, image, None, person))
    return {name: [row[1:] for row in sorted(rows, key=lambda r: -r[0])[:count]] for name, rows in found.items()}


def page(analysis: Analysis, title: str, notes: Sequence[str] = (), count: int = 8) -> str:
    """A web page that needs nothing beside it: tables, and the ``count`` worst examples of each kind as pictures.

    Photos are opened one after the other.
    """
    kinds = {(p.image, p.prediction): p for p in analysis.taxonomy.people}
    sections = []
    for name, rows in worst(analysis, count).items():
        examples = []
        for image, prediction, person in rows:
            matched = kinds.get((image, -1 if prediction is None else prediction))
            wrong = [] if matched is None else list(_said(analysis.taxonomy.joints, matched.kinds, name))
            score = None if prediction is None else float(analysis.poses[image].person_scores[prediction])
            examples.append(
                Example(
                    picture=picture(analysis, image, prediction, person),
                    title=str(analysis.records[image].image_id),
                    facts=tuple([] if matched is None else [f"OKS {matched.oks:.2f}"])
                    + (() if score is None else (f"score {score:.2f}",)),
                    joints=tuple(wrong),
                )
            )
        sections.append((SECTIONS[name], examples))
    return analysis_page(analysis.to_dict(), sections, title=title, notes=notes)


def _said(joints: Sequence[str], kinds: np.ndarray, section: str) -> Iterator[str]:
    """Joints with a mistake, those of the section's kind first."""
    order = sorted(
        (k for k, kind in enumerate(kinds) if kind > 0), key=lambda k: (KINDS[kinds[k]] != section, kinds[k])
    )
    for k in order:
        yield f"{joints[k].replace('_', ' ')}: {KINDS[kinds[k]]}"


def _given(found: Mapping[Any, Poses], records: Sequence[Record]) -> list[Poses]:
    """The predictions of each image, nobody where there are none."""
    some = next(iter(found.values()), None)
    skeleton = records[0].skeleton if some is None else some.skeleton
    out, used = [], 0
    for record in records:
        poses = found.get(record.image_id)
        if poses is None and record.image_path is not None:
            poses = detections_of(dict(found), record.image_path)  # type: ignore[arg-type]
        used += poses is not None
        if poses is None:
            none = np.zeros((0, len(skeleton)))
            size_wh = record.size_wh or (1, 1)
            poses = Poses(none[..., None].repeat(2, -1), none, np.zeros((0, 4)), skeleton, size_wh)
        out.append(poses)
    if found and not used:
        raise VitruvianError(
            f"none of the {len(found)} images of the predictions is among the {len(records)} annotated ones; "
            f"the first is '{next(iter(found))}' there and '{records[0].image_id}' here"
        )
    return out


def _predicted(
    predictor: Predictor,
    records: Sequence[Record],
    flip: bool | str,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> list[Poses]:
    images = (r.extra["pixels"]() if "pixels" in r.extra else r.image_path for r in records)
    boxes = (np.stack([truth_box(p) for p in r.persons]) for r in records)
    found = []
    for result in predictor.stream(images, boxes, flip=flip, batch=batch):
        if result.error is not None:
            raise result.error
        assert result.poses is not None
        found.append(result.poses)
        if progress is not None:
            progress(len(found), len(records))
    return found


def picture(analysis: Analysis, image: int, prediction: int | None, person: int | None) -> np.ndarray:
    """The place in the photo, enlarged, with everyone's true joints and this one prediction."""
    record, poses = analysis.records[image], analysis.poses[image]
    pixels = photo(record)
    height, width = pixels.shape[:2]
    box = truth_box(record.persons[person]) if person is not None else poses.boxes[prediction].astype(np.float64)
    grown = box + np.array([-1, -1, 1, 1]) * _AROUND * max(box[2:] - box[:2])
    x0, y0 = (int(np.clip(v, 0, side - 2)) for v, side in zip(np.floor(grown[:2]), (width, height), strict=True))
    x1, y1 = (
        int(np.clip(v, low + 2, side))
        for v, low, side in zip(np.ceil(grown[2:]), (x0, y0), (width, height), strict=True)
    )
    people = [_moved(p, x0, y0) for p in record.persons if not p.is_crowd and p.labelled.any()]
    shown = poses.select([] if prediction is None else [prediction])
    shown = replace(
        shown,
        keypoints=shown.keypoints - np.array([x0, y0], np.float32),
        boxes=shown.boxes - np.array([x0, y0, x0, y0], np.float32),
        size_wh=(x1 - x0, y1 - y0),
        masks=None,
    )
    crop = np.ascontiguousarray(pixels[y0:y1, x0:x1])
    return compare(crop, people, shown, threshold=0.0, skeleton=record.skeleton, legend=False, height_px=_PICTURE_PX)


def _moved(person: Person, x0: int, y0: int) -> Person:
    return Person(person.keypoints_px - (x0, y0), person.visibility)
