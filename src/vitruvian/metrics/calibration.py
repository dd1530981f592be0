"""Are scores chances? Reliability, its error, and a rising curve that makes them so.

Sources: Guo et al., ICML 2017, "On Calibration of Modern Neural Networks", section 2 (reliability diagram, expected
calibration error); Zadrozny & Elkan, KDD 2002 (isotonic regression by pooling neighbours that violate the order);
Brier, 1950 (mean squared error of chances). Groups have equal counts rather than equal widths, since most scores of a
network crowd at one end; so has the error (Nguyen & O'Connor, EMNLP 2015, call it adaptive).

Position and presence are two questions. A joint's score is judged here by its position, on joints that are labelled.
How well labelled joints are told from unlabelled ones (hidden, out of the picture) is said by ``presence_auc``: by the
presence where a model gives it, else by the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ShapeError
from ..geometry import boxes as box_maths
from ..types import Person, Poses, Record
from .oks import BOX_AREA_FACTOR, joint_similarity
from .pck import normalised_distances
from .people import People, align
from .result import MetricResult
from .scales import measure

GROUPS = 15
RIGHT = {"torso": "within 0.2 torso lengths", "oks": "joint similarity of 0.5 or more"}
"""When a joint is right: PCK's rule, or half of what OKS can give for a joint."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores in groups of (nearly) equal counts, from the lowest to the highest.

    Attributes
    ----------
    score, right, count : (G,) mean score, share that is right, and number in each group.
    ece : expected calibration error, the mean of |score - right| over joints. None where there is nothing.
    brier : mean squared difference of a joint's score and its being right (1 or 0).
    """

    score: np.ndarray
    right: np.ndarray
    count: np.ndarray
    ece: float | None
    brier: float | None


def reliability(scores: np.ndarray, right: np.ndarray, groups: int = GROUPS) -> Reliability:
    """Sort joints by score into groups and compare.

    Parameters
    ----------
    scores : (n,) in [0, 1].
    right : (n,) bool.
    groups : at most; equal scores are never parted.

    Raises
    ------
    ShapeError
        Arrays that do not belong together, or no group.
    """
    scores, right = _checked(scores, right)
    if groups < 1:
        raise ShapeError(f"reliability needs a group at least, got {groups}")
    if not len(scores):
        return Reliability(np.zeros(0), np.zeros(0), np.zeros(0, int), None, None)
    label = _groups(scores, groups)
    count = np.bincount(label)
    mean, share = np.bincount(label, scores) / count, np.bincount(label, right) / count
    error = float((np.abs(mean - share) * count).sum() / len(scores))
    return Reliability(mean, share, count, error, float(((scores - right) ** 2).mean()))


def fit_curve(scores: np.ndarray, right: np.ndarray, groups: int = 20) -> tuple[tuple[float, float], ...]:
    """Knots of a strictly rising curve from scores to chances, for `weights.calibration.Calibration`.

    Groups of equal count give a point each; neighbours whose shares fall are pooled until none does. A score of 0 stays
    0; from the highest point on the curve rises by a hair, for the sake of the order alone.

    Raises
    ------
    ShapeError
        Fewer than ten joints: any curve would be invented.
    """
    scores, right = _checked(scores, right)
    if len(scores) < 10:
        raise ShapeError(
            f"a calibration needs ten labelled joints at least, and thousands to be good; got {len(scores)}"
        )
    found = reliability(scores, right, groups)
    pools: list[tuple[float, float, int]] = []
    for score, share, count in zip(found.score, found.right, found.count, strict=True):
        pools.append((float(score), float(share), int(count)))
        while len(pools) > 1 and pools[-1][1] <= pools[-2][1]:
            (x1, y1, n1), (x2, y2, n2) = pools.pop(), pools.pop()
            pools.append(((x1 * n1 + x2 * n2) / (n1 + n2), (y1 * n1 + y2 * n2) / (n1 + n2), n1 + n2))
    inner = [(x, y) for x, y, _ in pools if 0 < x < 1 and 0 < y < 1]
    last = max((y for _, y, _ in pools), default=0.0)
    top = (1.0, min(1.0, max(last, inner[-1][1] if inner else 0.0) + 1e-3))
    return ((0.0, 0.0), *((x, min(y, top[1] - 1e-4)) for x, y in inner), top)


def fit_by_joint(chances: np.ndarray, right: np.ndarray) -> tuple[float, ...]:
    """What to add to the logits of each joint's chances so that their sum is the number of those that are right.

    Parameters
    ----------
    chances : (n, K) in [0, 1].
    right : (n, K) float: 1, 0, or NaN where that is not known.

    Returns
    -------
    K numbers (Platt, 1999, "Probabilistic outputs for support vector machines", with the slope fixed at 1), drawn
    towards 0 as by a normal prior of deviation 1; 0 for a joint of which nothing is known.

    Raises
    ------
    ShapeError
        Arrays that do not belong together.
    """
    if chances.shape != right.shape or chances.ndim != 2:
        raise ShapeError(f"expected chances and right (n, K), got {chances.shape} and {right.shape}")
    found = []
    for chance, is_right in zip(chances.T.astype(np.float64), right.T, strict=True):
        known = ~np.isnan(is_right)
        p, hits = np.clip(chance[known], 1e-6, 1 - 1e-6), float(is_right[known].sum())
        low, high = -8.0, 8.0  # the slope falls with the number, so halving finds where it is 0
        for _ in range(60):
            middle = (low + high) / 2
            odds = p * np.exp(middle)
            slope = hits - float((odds / (odds + 1 - p)).sum()) - middle
            low, high = (middle, high) if slope > 0 else (low, middle)
        found.append(round((low + high) / 2, 6))
    return tuple(found)


def joints_right(people: People, by: str = "torso") -> np.ndarray:
    """(N, K) float: 1 where a joint is right by `RIGHT`, 0 where wrong or not predicted, NaN where that has no answer
    (not labelled; by the torso also where that cannot be measured).
    """
    if by not in RIGHT:
        raise ShapeError(f"a joint is right by {' or '.join(RIGHT)}, got '{by}'")
    if by == "torso":
        distance = normalised_distances(people.pred_px, people.truth_px, people.visible, measure(people, "torso")[0])
        return np.where(np.isnan(distance), np.nan, distance <= 0.2)
    out = np.full(people.visible.shape, np.nan)
    sigmas = np.asarray(people.skeleton.sigmas)
    for n, person in enumerate(people.persons):
        if people.visible[n].any():
            each = joint_similarity(
                people.pred_px[n : n + 1], people.truth_px[n : n + 1], people.visible[n : n + 1], _area(person), sigmas
            )[0, 0]
            out[n] = np.where(np.isnan(each), np.nan, each >= 0.5)
    return out


def ece_result(truth: Sequence[Record], predictions: Sequence[Poses], *, by: str = "torso") -> MetricResult:
    """Expected calibration error of joint scores of predictions made on the truth's boxes; 0 is best.

    A joint that was not predicted is wrong, whatever its score, and counted as ``missing``. Joints that are not
    labelled take part in ``presence_auc`` alone: the chance that a labelled joint has a higher presence (of models that
    do not say it, score) than an unlabelled one.
    """
    people = align(truth, predictions)
    right = joints_right(people, by)
    counted = ~np.isnan(right)
    table = []
    for k, joint in enumerate(people.skeleton.joints):
        if joint not in people.lacking:
            of = counted[:, k]
            found = reliability(people.scores[of, k], right[of, k] > 0)
            share = float(right[of, k].mean()) if of.any() else None
            score = float(people.scores[of, k].mean()) if of.any() else None
            table.append({"joint": joint, "value": found.ece, "count": int(of.sum()), "score": score, "right": share})
    overall = reliability(people.scores[counted], right[counted] > 0)
    known = np.array([joint not in people.lacking for joint in people.skeleton.joints])
    likely = align(truth, [replace(poses, scores=poses.likely) for poses in predictions]).scores
    groups = zip(overall.score, overall.right, overall.count, strict=True)
    return MetricResult(
        name=f"ECE ({RIGHT[by]})",
        value=overall.ece,
        table=table,
        details={
            "persons": len(people),
            "joints": int(counted.sum()),
            "joints_lacking": list(people.lacking),
            "brier": overall.brier,
            "presence_auc": auc_of(likely[people.visible], likely[~people.visible & known]),
            "missing": int((counted & ~np.isfinite(people.pred_px).all(axis=2)).sum()),
            "groups": [{"score": s, "right": r, "count": c} for s, r, c in groups],
        },
    )


def auc_of(higher: np.ndarray, lower: np.ndarray) -> float | None:
    """Chance that one of ``higher`` is above one of ``lower``, ties half (Mann & Whitney); None where one is empty."""
    if not len(higher) or not len(lower):
        return None
    sorted_lower = np.sort(lower)
    below = np.searchsorted(sorted_lower, higher, "left")
    upto = np.searchsorted(sorted_lower, higher, "right")
    return float((below + upto).mean() / 2 / len(lower))


def _checked(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, right = np.asarray(scores, np.float64), np.asarray(right, bool)
    if scores.ndim != 1 or right.shape != scores.shape or not ((scores >= 0) & (scores <= 1)).all():
        raise ShapeError(f"expected scores (n,) in [0, 1] and right (n,), got {scores.shape} and {right.shape}")
    return scores, right


def _groups(scores: np.ndarray, groups: int) -> np.ndarray:
    """(n,) the group of each score, numbered without gaps; equal scores share one."""
    _, inverse, count = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2  # a value goes where its middle one would
    label = np.minimum((middle * groups / len(scores)).astype(int), groups - 1)
    return np.unique(label, return_inverse=True)[1][inverse]


def _area(person: Person) -> np.ndarray:
    """(1,) square pixels, as `oks_ap` takes them."""
    if person.area_px is not None:
        return np.array([float(person.area_px)])
    box = box_maths.around_points(person.keypoints_px) if person.box_xyxy is None else np.asarray(person.box_xyxy)
    return np.array([BOX_AREA_FACTOR * float(box_maths.area(box))])
