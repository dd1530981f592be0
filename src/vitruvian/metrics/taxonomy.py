"""What kind of mistakes a pose estimator makes, joint by joint and person by person, and what each kind costs in AP.

Source: Ronchi & Perona, ICCV 2017, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", sections 3-4,
and its code (github.com/matteorr/coco-analyze). A prediction belongs to the truth that COCO's matching gives it at an
OKS of 0.1. A joint of such a prediction is, by its similarity to every labelled joint of its kind in the image, its own
and others', and their left-right counterparts:

- good: nearest to its own, at 0.85 or more; jitter: nearest to its own, at 0.5 to 0.85;
- inversion: nearest to its own left-right counterpart, at 0.5 or more; swap: nearest to another person's, at 0.5 or
  more, of either side;
- miss: below 0.5 to all of them, or not predicted.

Predictions that no truth matches are false positives, truths that no prediction matches are false negatives. A score
error is a truth whose most similar prediction scores less than another one near it. Not in the paper: a person is
turned if most of what was found of the two sides, and three joints at least, are inversions. Whoever labels by hand
mistakes front for back as networks do, so turned people are where to look for wrong labels.

To see what a kind costs, it is corrected: a jittered joint is brought to 0.85 of its own truth, a missed one to 0.5, a
swapped or inverted one as near to its own as it was to the wrong one. Scores are corrected to the similarity itself,
each truth counting for its most similar prediction alone. Differences to that code: distances are such that these
similarities hold exactly (there a factor of two is lost); others near a truth score 0, where it takes a soft
suppression; false positives and negatives are those of the matching above, not of each threshold after the corrections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import Poses, Record
from .oks import BOX_AREA_FACTOR, ImagePeople, joint_similarity, match, oks
from .people import check_pairs, lacking_joints
from .result import plain

KINDS = ("good", "jitter", "inversion", "swap", "miss")
"""Of a joint; its number in `MatchedPerson.kinds` is the place here."""

CORRECTIONS = ("miss", "swap", "inversion", "jitter", "score", "false_positive", "false_negative")
"""In the order in which they are corrected one on top of the other."""

OKS_THRESHOLDS = tuple(np.round(np.arange(0.5, 0.96, 0.05), 2).tolist())
_UNLABELLED = -1
_INVERSION = KINDS.index("inversion")
_TURNED = 3  # joints


@dataclass(frozen=True)
class Limits:
    """The similarities between the kinds: ``match`` of persons, ``near`` and ``good`` of joints."""

    match: float = 0.1
    near: float = 0.5
    good: float = 0.85


@dataclass(frozen=True, eq=False)
class MatchedPerson:
    """A prediction and the truth it belongs to.

    Attributes
    ----------
    image, prediction, person : places in the list of records, in its `Poses`, and among the record's persons.
    oks : similarity of the two.
    kinds : (K,) places in `KINDS`, -1 where the truth has no label; joints of `Taxonomy.joints`.
    similarity : (K,) to the own truth; best : (K,) to whatever is nearest. 0 where not labelled.
    turned : left and right are exchanged throughout, in the prediction or in the label.
    """

    image: int
    prediction: int
    person: int
    oks: float
    kinds: np.ndarray
    similarity: np.ndarray
    best: np.ndarray
    turned: bool


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """What `taxonomy` found.

    Attributes
    ----------
    joints : names of the K joints that both sides have.
    people : predictions that belong to a truth.
    false_positives : (image, prediction) without a truth; ``duplicates``: how many of them lie within an OKS of 0.5 of
        a person who was found.
    false_negatives : (image, person) that nothing matches.
    score_errors : (image, person) whose most similar prediction does not score most.
    ap : of the predictions as they are; None without anyone to find.
    ap_alone : correction -> AP if that kind alone were corrected.
    ap_after : correction -> AP after it and all before it in `CORRECTIONS`.
    """

    joints: tuple[str, ...]
    people: tuple[MatchedPerson, ...]
    false_positives: tuple[tuple[int, int], ...]
    duplicates: int
    false_negatives: tuple[tuple[int, int], ...]
    score_errors: tuple[tuple[int, int], ...]
    ap: float | None
    ap_alone: dict[str, float | None]
    ap_after: dict[str, float | None]

    @property
    def counts(self) -> np.ndarray:
        """(K, 5) joints of matched people by kind, in the order of `KINDS`."""
        kinds = np.array([p.kinds for p in self.people], dtype=int).reshape(-1, len(self.joints))
        return np.stack([(kinds == i).sum(axis=0) for i in range(len(KINDS))], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: shares of each kind joint by joint and overall, people, and AP with corrections."""
        counts = self.counts

        def shares(row: np.ndarray) -> dict[str, float | None]:
            total = int(row.sum())
            return {kind: float(n) / total if total else None for kind, n in zip(KINDS, row, strict=True)}

        return plain(
            {
                "joints": [
                    {"joint": joint, "labelled": int(row.sum()), **shares(row)}
                    for joint, row in zip(self.joints, counts, strict=True)
                ],
                "all_joints": {"labelled": int(counts.sum()), **shares(counts.sum(axis=0))},
                "people": {
                    "matched": len(self.people),
                    "false_positives": len(self.false_positives),
                    "of_these_duplicates": self.duplicates,
                    "false_negatives": len(self.false_negatives),
                    "score_errors": len(self.score_errors),
                    "turned": sum(p.turned for p in self.people),
                    "inversions_of_turned": sum(int((p.kinds == _INVERSION).sum()) for p in self.people if p.turned),
                },
                "ap": self.ap,
                "ap_if_corrected_alone": self.ap_alone,
                "ap_if_corrected_so_far": self.ap_after,
            }
        )


def joint_kinds(
    pred_px: np.ndarray,
    truth_px: np.ndarray,
    visible: np.ndarray,
    area_px: np.ndarray,
    sigmas: np.ndarray,
    flip: np.ndarray,
    own: int,
    limits: Limits = Limits(),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kinds of the joints of one prediction.

    Parameters
    ----------
    pred_px : (K, 2) pixels, NaN where not predicted.
    truth_px, visible, area_px : (M, K, 2), (M, K) and (M,) of all people in the image.
    sigmas, flip : (K,) of the skeleton.
    own : which of the M the prediction belongs to.

    Returns
    -------
    kinds (K,) int (-1: not labelled), similarity to the own truth (K,), similarity to whatever is nearest (K,).
    """
    people = np.flatnonzero(visible.any(axis=1))
    if own not in people:
        raise ShapeError(f"truth {own} of {len(visible)} has no labelled joint, so its joints have no kind")
    order = np.concatenate([[own], people[people != own]])
    sides = [
        joint_similarity(pred_px[None], truth_px[order][:, index], visible[order][:, index], area_px[order], sigmas)[0]
        for index in (np.arange(len(flip)), flip)
    ]
    each = np.nan_to_num(np.concatenate(sides), nan=-1.0)  # own, others; own and others with the sides exchanged
    best, nearest = np.maximum(each.max(axis=0), 0), each.argmax(axis=0)  # the first of equals: own goes before all
    kinds = np.full(len(flip), KINDS.index("swap"))
    kinds[nearest == len(order)] = _INVERSION
    kinds[nearest == 0] = np.where(best[nearest == 0] >= limits.good, KINDS.index("good"), KINDS.index("jitter"))
    kinds[best < limits.near] = KINDS.index("miss")
    kinds[~visible[own]] = _UNLABELLED
    return kinds, np.maximum(each[0], 0), np.where(visible[own], best, 0)


def average_precision(
    images: Sequence[ImagePeople],
    sigmas: np.ndarray,
    thresholds: Sequence[float] = OKS_THRESHOLDS,
    max_detections: int = 20,
) -> float | None:
    """COCO's AP over OKS thresholds, all sizes; None without anyone to find. Equal to `oks_ap` without its extra."""
    rows: list[list[np.ndarray]] = [[] for _ in thresholds]
    all_scores = []
    for image in images:
        best = np.argsort(-image.scores, kind="stable")[:max_detections]
        all_scores.append(image.scores[best])
        similarity = _similarity(image, sigmas)[best]
        for row, threshold in zip(rows, thresholds, strict=True):
            found = match(similarity, image.scores[best], image.ignore, image.crowd, threshold)
            ignored = np.append(image.ignore, False)[found] & (found >= 0)
            row.append(np.where(ignored, -1, found >= 0))
    wanted = sum(int((~image.ignore).sum()) for image in images)
    if not wanted:
        return None
    order = np.argsort(-np.concatenate(all_scores), kind="stable")
    return float(np.mean([_area(np.concatenate(row)[order], wanted) for row in rows]))


def taxonomy(
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    *,
    sigmas: Sequence[float] | None = None,
    limits: Limits = Limits(),
) -> Taxonomy:
    """Sort the mistakes of predictions into kinds; any skeleton, any number of people an image.

    Parameters
    ----------
    truth, predictions : one `Poses` for each record, in the same order. Joints that the predictions' skeleton lacks are
        left out.
    sigmas : (K,) for the truth's joints instead of the skeleton's own.

    Raises
    ------
    ShapeError, SkeletonError
        Lists that do not belong together, or sigmas of another length.
    """
    skeleton = check_pairs(truth, predictions)
    lacking = lacking_joints(skeleton, predictions)
    kept = np.array([k for k, joint in enumerate(skeleton.joints) if joint not in lacking])
    every = np.asarray(skeleton.sigmas if sigmas is None else sigmas, dtype=np.float64)
    if every.shape != (len(skeleton),):
        raise ShapeError(f"expected one sigma for each of the {len(skeleton)} joints, got {every.shape}")
    place = {int(k): i for i, k in enumerate(kept)}  # a joint whose other side is lacking is its own counterpart
    flip = np.array([place.get(int(skeleton.flip[k]), i) for i, k in enumerate(kept)])
    images = [ImagePeople.of(r, p, skeleton, kept, BOX_AREA_FACTOR) for r, p in zip(truth, predictions, strict=True)]
    sorted_images = [_sort(i, image, every[kept], flip, limits) for i, image in enumerate(images)]
    alone, after, so_far = {}, {}, []
    for kind in CORRECTIONS:
        so_far.append(kind)
        for table, chosen in ((alone, {kind}), (after, set(so_far))):
            changed = [_corrected(s, every[kept], chosen, limits) for s in sorted_images]
            table[kind] = average_precision(changed, every[kept])
    return Taxonomy(
        joints=tuple(skeleton.joints[k] for k in kept),
        people=tuple(p for s in sorted_images for p in s.people),
        false_positives=tuple((s.index, int(n)) for s in sorted_images for n in np.flatnonzero(s.unmatched)),
        duplicates=sum(s.duplicates for s in sorted_images),
        false_negatives=tuple((s.index, s.image.persons[m]) for s in sorted_images for m in np.flatnonzero(s.missed)),
        score_errors=tuple((s.index, s.image.persons[m]) for s in sorted_images for m in s.misordered),
        ap=average_precision(images, every[kept]),
        ap_alone=alone,
        ap_after=after,
    )


# ---------------------------------------------------------------------------------------------- bricks
@dataclass(frozen=True, eq=False)
class _Sorted:
    """One image with its predictions assigned: ``found`` (N,) truths or -1, and what that means."""

    index: int
    image: ImagePeople
    found: np.ndarray
    people: tuple[MatchedPerson, ...]
    unmatched: np.ndarray
    missed: np.ndarray
    duplicates: int
    misordered: tuple[int, ...]


def _similarity(image: ImagePeople, sigmas: np.ndarray) -> np.ndarray:
    return oks(image.pred_px, image.truth_px, image.visible, image.area_px, sigmas, image.boxes_xyxy)


def _sort(index: int, image: ImagePeople, sigmas: np.ndarray, flip: np.ndarray, limits: Limits) -> _Sorted:
    similarity = _similarity(image, sigmas)
    found = match(similarity, image.scores, image.ignore, image.crowd, limits.match)
    people = []
    for n, m in enumerate(found):
        if m < 0 or image.ignore[m]:
            continue
        kinds, own, best = joint_kinds(
            image.pred_px[n], image.truth_px, image.visible, image.area_px, sigmas, flip, m, limits
        )
        turned = _turned(kinds, flip)
        people.append(MatchedPerson(index, n, image.persons[m], float(similarity[n, m]), kinds, own, best, turned))
    missed = ~image.ignore & ~np.isin(np.arange(len(image.ignore)), found)
    near = similarity >= limits.near
    misordered = tuple(
        int(m)
        for m in np.flatnonzero(~image.ignore)
        if near[:, m].sum() > 1 and image.scores[similarity[:, m].argmax()] < image.scores[near[:, m]].max()
    )
    counted = near[:, ~image.ignore].any(axis=1)
    return _Sorted(
        index, image, found, tuple(people), found < 0, missed, int((counted & (found < 0)).sum()), misordered
    )


def _turned(kinds: np.ndarray, flip: np.ndarray) -> bool:
    sided = flip != np.arange(len(flip))
    inverted = int((kinds == _INVERSION).sum())
    own = int(np.isin(kinds[sided], [KINDS.index("good"), KINDS.index("jitter")]).sum())
    return inverted >= _TURNED and inverted > own


def _corrected(s: _Sorted, sigmas: np.ndarray, kinds: set[str], limits: Limits) -> ImagePeople:
    """The image with some kinds of mistakes undone."""
    image, joints = s.image, [KINDS.index(kind) for kind in KINDS if kind in kinds]
    if joints:
        pred = image.pred_px.copy()
        for person in s.people:
            wrong = np.isin(person.kinds, joints)
            target = np.select(
                [person.kinds == KINDS.index("miss"), person.kinds == KINDS.index("jitter")],
                [limits.near, limits.good],
                person.best,
            )
            m = s.found[person.prediction]
            moved = _at_similarity(pred[person.prediction], image.truth_px[m], target, float(image.area_px[m]), sigmas)
            pred[person.prediction, wrong] = moved[wrong]
        image = replace(image, pred_px=pred)
    if "score" in kinds:
        image = replace(image, scores=_best_scores(_similarity(image, sigmas), image.ignore))
    if "false_positive" in kinds:
        image = replace(image, pred_px=image.pred_px[~s.unmatched], scores=image.scores[~s.unmatched])
    if "false_negative" in kinds:
        left = ("truth_px", "visible", "codes", "area_px", "boxes_xyxy", "crowd")
        persons = tuple(person for person, missed in zip(image.persons, s.missed, strict=True) if not missed)
        image = replace(image, persons=persons, **{name: getattr(image, name)[~s.missed] for name in left})
    return image


def _at_similarity(
    pred_px: np.ndarray, truth_px: np.ndarray, target: np.ndarray, area_px: float, sigmas: np.ndarray
) -> np.ndarray:
    """(K, 2) points of a given similarity to the truth, in the direction of the prediction (right where there is none).

    A hair nearer, so that rounding does not put them on the other side of a limit.
    """
    target = np.clip(target + 1e-9, 1e-300, 1.0)
    distance = 2 * sigmas * np.sqrt(-2 * area_px * np.log(target))
    step = pred_px - truth_px
    length = np.hypot(step[:, 0], step[:, 1])
    usable = np.isfinite(length) & (length > 0)
    direction = np.where(usable[:, None], step / np.where(usable, length, 1.0)[:, None], (1.0, 0.0))
    return truth_px + direction * distance[:, None]


def _best_scores(similarity: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """(N,) each truth's similarity to the one prediction that is most similar to it, best pairs first; others 0."""
    left = np.where(ignore[None], -1.0, similarity)
    scores = np.zeros(len(left))
    for _ in range(min(left.shape)):
        n, m = np.unravel_index(left.argmax(), left.shape)
        if left[n, m] <= 0:
            break
        scores[n] = left[n, m]
        left[n], left[:, m] = -1, -1
    return scores


def _area(hits: np.ndarray, wanted: int) -> float:
    """AP by COCO's 101 recall points, of 1 (right), 0 (wrong) and -1 (neither) in descending order of scores."""
    hits = hits[hits >= 0]
    right = np.cumsum(hits)
    recall, precision = right / wanted, right / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[at].mean())
