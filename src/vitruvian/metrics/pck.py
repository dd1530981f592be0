"""PCK, PCKh, the area under the PCK curve, and end-point error, from ground-truth boxes.

PCK: Yang & Ramanan, TPAMI 2013; the torso as the length to divide by: Sapp & Taskar, CVPR 2013. PCKh: Andriluka et
al., CVPR 2014, whose evaluation compares with ``<=``, divides by 0.6 x the head box's diagonal, and leaves pelvis and
thorax out of the mean. The lengths are in `scales`, the two older systems' rules in `pck_variants`.

Two averages, always both: ``mean_joint`` is the mean of the joints' values (every joint weighs the same), ``pooled``
the fraction of all labelled joints (every labelled joint weighs the same). The headline of PCK is ``mean_joint`` over
the 12 limb joints; of PCKh it is ``pooled``, as in the benchmark's own code.

What counts: a joint that the truth does not label never does; a joint that was not predicted (NaN) is wrong; a joint
that is labelled nowhere has the value None and takes no part in a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError, SkeletonError
from ..types import Poses, Record
from . import pck_variants
from .people import People, align
from .result import MetricResult
from .scales import TORSO_FALLBACK, measure

LIMBS12 = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""The 12 limb joints: LSP's 14 without neck and head top."""

SUBSETS: dict[str, str] = {
    "all": "every joint",
    "limbs12": "shoulders, elbows, wrists, hips, knees, ankles",
    "without_pelvis_thorax": "every joint but pelvis and thorax (MPII's mean)",
}


# ---------------------------------------------------------------------------------------------- on arrays
def normalised_distances(
    pred_px: np.ndarray, truth_px: np.ndarray, visible: np.ndarray, scale_px: np.ndarray | float
) -> np.ndarray:
    """(N, K) Euclidean distances divided by each person's length.

    Parameters
    ----------
    pred_px, truth_px : (N, K, 2) pixels.
    visible : (N, K) bool, the joints to compare.
    scale_px : (N,) pixels, or one length for all (1.0 gives pixels); NaN leaves a person out.

    Returns
    -------
    NaN where nothing is compared (not visible, no length), +inf where a visible joint was not predicted.

    Raises
    ------
    ShapeError
        Shapes that do not belong together, or a visible joint whose true position is not finite.
    """
    pred, truth = np.asarray(pred_px, dtype=np.float64), np.asarray(truth_px, dtype=np.float64)
    visible = np.asarray(visible, dtype=bool)
    if pred.ndim != 3 or pred.shape[2] != 2 or truth.shape != pred.shape or visible.shape != pred.shape[:2]:
        raise ShapeError(
            f"expected predictions and truth (N, K, 2) and visible (N, K), got {pred.shape}, {truth.shape}, "
            f"{visible.shape}"
        )
    scale = np.asarray(scale_px, dtype=np.float64)
    if scale.ndim > 1 or (scale.ndim == 1 and scale.shape[0] != len(pred)):
        raise ShapeError(f"expected one length for each of {len(pred)} people, got {scale.shape}")
    if (scale <= 0).any():
        raise ShapeError(f"lengths must be positive (NaN leaves a person out), got {float(np.nanmin(scale))}")
    if not np.isfinite(truth[visible]).all():
        raise ShapeError("a joint is marked visible but its true position is not finite; mark it as not visible")
    predicted = np.asarray(np.isfinite(pred).all(axis=2))
    step = np.where(predicted[..., None], pred, 0.0) - np.where(visible[..., None], truth, 0.0)
    distance = np.where(predicted, np.hypot(step[..., 0], step[..., 1]), np.inf)
    scale = np.broadcast_to(scale, (len(pred),))[:, None]
    return np.where(visible & np.isfinite(scale), distance / scale, np.nan)


@dataclass(frozen=True, eq=False)
class PckScores:
    """PCK at T thresholds.

    Attributes
    ----------
    thresholds : (T,), in lengths of the scale.
    per_joint : (T, K) fraction correct; NaN for a joint that was never compared.
    count : (K,) how often each joint was compared.
    mean_joint : (T,) mean over the joints that were compared; NaN if none was.
    pooled : (T,) fraction of all compared joints; NaN if none was.
    """

    thresholds: np.ndarray
    per_joint: np.ndarray
    count: np.ndarray
    mean_joint: np.ndarray
    pooled: np.ndarray


def pck(
    pred_px: np.ndarray,
    truth_px: np.ndarray,
    visible: np.ndarray,
    scale_px: np.ndarray | float,
    thresholds: Sequence[float] = (0.2,),
    *,
    joints: np.ndarray | None = None,
    strict: bool = False,
) -> PckScores:
    """Percentage of correct keypoints: the fraction with distance <= threshold x length (``<`` if ``strict``).

    Shapes and errors as in `normalised_distances`; ``joints`` is a (K,) bool of those that enter the two averages.
    """
    distances = normalised_distances(pred_px, truth_px, visible, scale_px)
    limits = np.asarray(thresholds, dtype=np.float64).reshape(-1, 1, 1)
    correct = distances[None] < limits if strict else distances[None] <= limits
    return score_table(correct, ~np.isnan(distances), limits.reshape(-1), joints)


def score_table(
    correct: np.ndarray, compared: np.ndarray, thresholds: np.ndarray, joints: np.ndarray | None = None
) -> PckScores:
    """`PckScores` from verdicts: ``correct`` (T, N, K) bool, ``compared`` (N, K) bool, ``joints`` (K,) bool."""
    count = compared.sum(axis=0)
    hits = (correct & compared[None]).sum(axis=1)
    per_joint = _ratio(hits, np.broadcast_to(count, hits.shape))
    use = (np.ones(len(count), bool) if joints is None else np.asarray(joints, bool)) & (count > 0)
    total = np.full(len(hits), count[use].sum())
    mean_joint = per_joint[:, use].mean(axis=1) if use.any() else np.full(len(hits), np.nan)
    return PckScores(thresholds, per_joint, count, mean_joint, _ratio(hits[:, use].sum(axis=1), total))


def pck_auc(distances: np.ndarray, max_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """(K,) areas under each joint's PCK curve from 0 to ``max_threshold``, divided by it, and (K,) counts.

    The curve of one joint is a step at its distance d, so its area is exactly ``max(0, 1 - d / max_threshold)``: no
    grid of thresholds is needed. ``distances`` (N, K) come from `normalised_distances`; NaN where the count is 0.
    """
    if not max_threshold > 0:
        raise ShapeError(f"the curve's end must be positive, got {max_threshold}")
    compared = ~np.isnan(distances)
    area = np.where(compared, np.clip(1 - np.where(compared, distances, np.inf) / max_threshold, 0, 1), 0)
    count = compared.sum(axis=0)
    return _ratio(area.sum(axis=0), count), count


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


# ---------------------------------------------------------------------------------------------- on records
def pck_result(
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    *,
    threshold: float = 0.2,
    scale: str | Sequence[str] | np.ndarray = "torso",
    subset: str | Sequence[str] = "limbs12",
    curve: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.5),
    headline: str = "mean_joint",
    strict: bool = False,
    legacy: str | None = None,
) -> MetricResult:
    """PCK of predictions made on the truth's boxes; the headline is PCK@0.2 (torso, 12 limb joints).

    Parameters
    ----------
    truth, predictions : records and, for each, its people in the order of ``record.persons`` (see `people`).
    threshold : in lengths of ``scale``.
    scale : a name of `scales.SCALES`, a chain of names (e.g. `scales.TORSO_FALLBACK`; the result then states the
        length used for each person), or lengths in pixels for the non-crowd persons in order.
    subset : a name of `SUBSETS` or joint names: the joints in the averages. The table has all joints.
    curve : further thresholds whose averages are put into ``details``.
    headline : ``"mean_joint"`` or ``"pooled"``.
    legacy : ``"system2"`` or ``"system3"``: the rule of an older system with its mistakes (see `pck_variants`), which
        then decides everything but ``truth`` and ``predictions``.

    Raises
    ------
    ShapeError, SkeletonError
        Lists that do not belong together, unknown names, or a scale or subset whose joints the truth lacks.
    """
    people = align(truth, predictions)
    if legacy is not None:
        return _legacy_result(people, legacy)
    _check_headline(headline)
    joints = subset_joints(subset, people)
    lengths, used = measure(people, scale)
    thresholds = [threshold, *curve]
    scores = pck(people.pred_px, people.truth_px, people.visible, lengths, thresholds, joints=joints, strict=strict)
    averages = {"mean_joint": scores.mean_joint[0], "pooled": scores.pooled[0]}
    title = "PCKh" if isinstance(scale, str) and scale == "head_box" else "PCK"
    return MetricResult(
        name=f"{title}@{threshold:g} ({_title(scale)}, {_title(subset)})",
        value=averages[headline],
        table=_table(people, scores.per_joint[0], scores.count, joints),
        details={
            **averages,
            "headline": headline,
            "threshold": threshold,
            "strict": strict,
            "curve": [
                {"threshold": t, "mean_joint": m, "pooled": p}
                for t, m, p in zip(curve, scores.mean_joint[1:], scores.pooled[1:], strict=True)
            ],
            **_about(people, joints, subset, scale, lengths, used),
        },
    )


def pckh_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """PCKh@0.5 as MPII defines it: 0.6 x the head box's diagonal, pelvis and thorax not in the mean, ``pooled``."""
    return pck_result(
        truth,
        predictions,
        threshold=0.5,
        scale="head_box",
        subset="without_pelvis_thorax",
        curve=(0.1, 0.2, 0.3, 0.4, 0.5),
        headline="pooled",
    )


def pck_fallback_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """PCK@0.2 of every joint (``mean_joint``), also of people whose torso is not labelled: `scales.TORSO_FALLBACK`.

    The torso, else the length of the head, else the width of the hips; a person with none of them is left out. It is
    system 3's PCK as its text means it. ``details["person_scales"]`` says which length each person was measured by,
    ``details["scales_used"]`` how many people by which: compare figures only where these agree.
    """
    return pck_result(truth, predictions, scale=TORSO_FALLBACK, subset="all")


def pck_system2_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """ "PCKh@0.5" as system 2 (adversarial PoseNet on MPII) computed it; see `pck_variants.system2`."""
    return pck_result(truth, predictions, legacy="system2")


def pck_system3_result(truth: Sequence[Record], predictions: Sequence[Poses]) -> MetricResult:
    """ "PCK@0.2" as system 3 (stacked hourglass on COCO) computed it; see `pck_variants.system3`."""
    return pck_result(truth, predictions, legacy="system3")


def auc_result(
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    *,
    max_threshold: float = 0.5,
    scale: str | Sequence[str] | np.ndarray = "torso",
    subset: str | Sequence[str] = "limbs12",
    headline: str = "mean_joint",
) -> MetricResult:
    """Area under the PCK curve from 0 to ``max_threshold`` (exact integral, in [0, 1]); parameters as `pck_result`."""
    people = align(truth, predictions)
    _check_headline(headline)
    joints = subset_joints(subset, people)
    lengths, used = measure(people, scale)
    distances = normalised_distances(people.pred_px, people.truth_px, people.visible, lengths)
    per_joint, count = pck_auc(distances, max_threshold)
    use = joints & (count > 0)
    pooled = np.average(per_joint[use], weights=count[use]) if use.any() else np.nan
    averages = {"mean_joint": per_joint[use].mean() if use.any() else np.nan, "pooled": pooled}
    return MetricResult(
        name=f"PCK AUC 0..{max_threshold:g} ({_title(scale)}, {_title(subset)})",
        value=averages[headline],
        table=_table(people, per_joint, count, joints),
        details={
            **averages,
            "headline": headline,
            "max_threshold": max_threshold,
            **_about(people, joints, subset, scale, lengths, used),
        },
    )


def epe_result(
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    *,
    scale: str | Sequence[str] | np.ndarray = "torso",
    subset: str | Sequence[str] = "all",
) -> MetricResult:
    """End-point error: mean and median distance in pixels, and divided by each person's length.

    The headline is the mean in pixels over all labelled joints of ``subset``. A joint that was not predicted (NaN) has
    no distance: it is left out here and counted as ``missing``, so read that count beside the value. A skeleton that
    lacks the scale's joints gives the pixels alone.
    """
    people = align(truth, predictions)
    joints = subset_joints(subset, people)
    try:
        lengths, used = measure(people, scale)
    except SkeletonError:
        lengths, used = np.full(len(people), np.nan), [None] * len(people)
    pixels = normalised_distances(people.pred_px, people.truth_px, people.visible, 1.0)
    ratios = normalised_distances(people.pred_px, people.truth_px, people.visible, lengths)
    table = []
    for k, joint in enumerate(people.skeleton.joints):
        if joint not in people.lacking:
            table.append({"joint": joint, **_spread(pixels[:, k], ratios[:, k]), "in_mean": bool(joints[k])})
    total = _spread(pixels[:, joints], ratios[:, joints])
    return MetricResult(
        name=f"EPE px ({_title(subset)})",
        value=total["value"],
        table=table,
        details={
            "mean_px": total["value"],
            **{k: v for k, v in total.items() if k != "value"},
            **_about(people, joints, subset, scale, lengths, used),
        },
    )


# ---------------------------------------------------------------------------------------------- bricks
def subset_joints(subset: str | Sequence[str], people: People) -> np.ndarray:
    """(K,) bool: the joints of a named subset or of a list of names that both sides have.

    Raises `ShapeError` on an unknown subset and `SkeletonError` when the truth's skeleton has no such joint (for a
    list: lacks any of them).
    """
    names = people.skeleton.joints
    if isinstance(subset, str):
        if subset not in SUBSETS:
            raise ShapeError(f"unknown subset '{subset}'; known: {', '.join(SUBSETS)}, or a list of joint names")
        wanted = {
            "all": names,
            "limbs12": LIMBS12,
            "without_pelvis_thorax": tuple(j for j in names if j not in ("pelvis", "thorax")),
        }[subset]
    else:
        wanted = tuple(subset)
        for joint in wanted:
            people.skeleton.index(joint)  # says which joints there are
    mask = np.array([j in wanted for j in names])
    if not mask.any():
        raise SkeletonError(
            f"skeleton '{people.skeleton.name}' has no joint of the subset '{subset}'; it has {', '.join(names)}"
        )
    return mask & np.array([j not in people.lacking for j in names])


def _check_headline(headline: str) -> None:
    if headline not in ("mean_joint", "pooled"):
        raise ShapeError(f"unknown headline '{headline}'; expected 'mean_joint' or 'pooled'")


def _title(choice: str | Sequence[str] | np.ndarray) -> str:
    if isinstance(choice, str):
        return choice
    return "given" if isinstance(choice, np.ndarray) else " or ".join(choice)


def _table(people: People, per_joint: np.ndarray, count: np.ndarray, in_mean: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"joint": joint, "value": per_joint[k], "count": int(count[k]), "in_mean": bool(in_mean[k] and count[k])}
        for k, joint in enumerate(people.skeleton.joints)
        if joint not in people.lacking
    ]


def _spread(pixels: np.ndarray, ratios: np.ndarray) -> dict[str, Any]:
    px, ratio = pixels[np.isfinite(pixels)], ratios[np.isfinite(ratios)]
    return {
        "value": px.mean() if px.size else None,
        "median_px": np.median(px) if px.size else None,
        "mean_normalised": ratio.mean() if ratio.size else None,
        "median_normalised": np.median(ratio) if ratio.size else None,
        "count": int(px.size),
        "missing": int(np.isinf(pixels).sum()),
    }


def _about(
    people: People,
    joints: np.ndarray,
    subset: str | Sequence[str],
    scale: str | Sequence[str] | np.ndarray,
    lengths: np.ndarray,
    used: Sequence[str | None],
) -> dict[str, Any]:
    """What every PCK-like result says about how it was measured and who was left out."""
    about: dict[str, Any] = {
        "subset": _title(subset),
        "joints_in_subset": [j for j, use in zip(people.skeleton.joints, joints, strict=True) if use],
        "joints_lacking": list(people.lacking),
        "scale": _title(scale),
        "persons": len(people),
        "persons_without_scale": int(np.isnan(lengths).sum()),
        "crowds_skipped": people.crowds,
    }
    if not isinstance(scale, str | np.ndarray):
        about["person_scales"] = [
            {"image": image, "person": n, "scale": name, "scale_px": length}
            for (image, n), name, length in zip(people.origin, used, lengths, strict=True)
        ]
        about["scales_used"] = {name or "none": used.count(name) for name in (*scale, None) if name in used}
    return about


def _legacy_result(people: People, legacy: str) -> MetricResult:
    if legacy not in pck_variants.VARIANTS:
        raise ShapeError(f"unknown variant '{legacy}'; known: {', '.join(pck_variants.VARIANTS)}")
    verdict = pck_variants.VARIANTS[legacy](people)
    joints = np.array([j not in people.lacking for j in people.skeleton.joints])
    scores = score_table(verdict.correct[None], verdict.compared & joints, np.array([verdict.threshold]), joints)
    averages = {"mean_joint": scores.mean_joint[0], "pooled": scores.pooled[0]}
    return MetricResult(
        name=verdict.name,
        value=averages[verdict.headline],
        table=_table(people, scores.per_joint[0], scores.count, joints),
        details={
            **averages,
            "headline": verdict.headline,
            "threshold": verdict.threshold,
            "differs_from_the_standard": list(verdict.differences),
            "joints_lacking": list(people.lacking),
            "persons": len(people),
            "crowds_skipped": people.crowds,
        },
    )
