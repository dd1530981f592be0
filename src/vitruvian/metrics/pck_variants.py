"""PCK as two older systems computed it, mistakes included, so that the distance between their numbers and ours can be
attributed rule by rule. Not for new work: use ``pck`` and ``pckh``.

system2 : github.com/YUNSUCHO/Localizing-human-pose-in-adversarial-way-with-MPII-dataset, ``metrics.py`` (PCKh@0.5).
system3 : github.com/robertklee/COCO-Human-Pose, ``evaluation.py``, ``pck_eval`` (PCK@0.2).
The rules were rewritten here from those files' behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .people import People


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a variant decides: ``correct`` and ``compared`` (N, K) bool, and how it is to be averaged and described."""

    name: str
    correct: np.ndarray
    compared: np.ndarray
    threshold: float
    headline: str
    differences: tuple[str, ...]


def system2(people: People, *, threshold: float = 0.5) -> Verdict:
    """System 2's "PCKh@0.5": divided by |neck - head top|, compared with ``<``, pelvis and thorax in the mean.

    Where neck or head top is not labelled, the length of the person before (in order) is used again, and at the
    beginning a tenth of the crop: 6.4 of 64 cells. The system measured in cells of its 64 x 64 output, so a reused
    length is reused relative to the crop, whose side is MPII's ``scale`` x 200 px where the file gives it, else the
    longer side of the box. That system's rounding of both positions to whole cells belongs to its argmax decoder and
    is not repeated here: decode with ``argmax`` to include it.

    Raises `SkeletonError` when the skeleton has no neck or no head top.
    """
    neck, head_top = people.skeleton.index("neck"), people.skeleton.index("head_top")
    lengths = np.empty(len(people))
    head_per_crop = 0.1
    for n, person in enumerate(people.persons):
        crop_px = _crop_side_px(people, n)
        if person.labelled[neck] and person.labelled[head_top]:
            head_per_crop = float(np.hypot(*(people.truth_px[n, neck] - people.truth_px[n, head_top]))) / crop_px
        lengths[n] = head_per_crop * crop_px
    step = people.pred_px - people.truth_px
    with np.errstate(divide="ignore", invalid="ignore"):  # a head of length 0 makes every joint wrong, as it did there
        distance = np.hypot(step[..., 0], step[..., 1]) / lengths[:, None]
    return Verdict(
        name="PCKh@0.5 as system 2 computed it",
        correct=distance < threshold,
        compared=people.visible,
        threshold=threshold,
        headline="pooled",
        differences=(
            "divided by |neck - head top| instead of 0.6 x the head box's diagonal",
            "without neck or head top: the previous person's length, at first a tenth of the crop",
            "a distance equal to the threshold is wrong",
            "pelvis and thorax are in the mean",
        ),
    )


def system3(people: People, *, threshold: float = 0.2, min_score: float = 0.2) -> Verdict:
    """System 3's "PCK@0.2": only x is compared, with a fifth of the hips' distance in x, over every joint of everyone.

    Its points were built so that y was lost, for the joints as for the lengths. Without both hips the distance of the
    *eyes* in x is used (the code's comment says ears), without those a limit of 5 px. Joints that the file does not
    label stand at x = 0 and are compared like the others; a prediction with a score below ``min_score`` stands at
    x = 0 too, which makes the pair "correct".

    Raises `SkeletonError` when the skeleton has no hips; one without eyes goes from the hips to the 5 px.
    """
    hips = (people.skeleton.index("left_hip"), people.skeleton.index("right_hip"))
    pairs = [hips]
    if {"left_eye", "right_eye"} <= set(people.skeleton.joints):
        pairs.append((people.skeleton.index("left_eye"), people.skeleton.index("right_eye")))
    limit_px = np.full(len(people), 25.0 * threshold)
    for n, person in enumerate(people.persons):
        for left, right in pairs:
            if person.labelled[left] and person.labelled[right]:
                limit_px[n] = threshold * abs(people.truth_px[n, left, 0] - people.truth_px[n, right, 0])
                break
    labelled = np.array([person.labelled for person in people.persons], dtype=bool).reshape(people.visible.shape)
    kept = np.isfinite(people.pred_px).all(axis=2) & (people.scores >= min_score)
    truth_x = np.where(labelled, people.truth_px[..., 0], 0.0)
    pred_x = np.where(kept, people.pred_px[..., 0], 0.0)
    return Verdict(
        name="PCK@0.2 as system 3 computed it",
        correct=np.abs(pred_x - truth_x) <= limit_px[:, None],
        compared=np.ones(people.visible.shape, dtype=bool),
        threshold=threshold,
        headline="mean_joint",
        differences=(
            "only the difference in x is measured, of joints and of lengths",
            "the width of the hips instead of the torso's diagonal",
            "without both hips: the width of the eyes, else 5 px",
            "joints without a label are compared at x = 0, and count for every person",
            f"predictions with a score below {min_score:g} stand at x = 0",
        ),
    )


VARIANTS: dict[str, Callable[[People], Verdict]] = {"system2": system2, "system3": system3}


def _crop_side_px(people: People, n: int) -> float:
    person = people.persons[n]
    scale = person.extra.get("scale")
    if isinstance(scale, int | float) and scale > 0:
        return 200.0 * float(scale)
    if person.box_xyxy is not None:
        side = float(max(person.box_xyxy[2] - person.box_xyxy[0], person.box_xyxy[3] - person.box_xyxy[1]))
    elif person.labelled.any():
        side = float(np.ptp(people.truth_px[n][person.labelled], axis=0).max())
    else:
        side = 0.0
    return side if side > 0 else 1.0
