"""Metrics: pure functions on arrays, and thin wrappers that apply them to records and predictions.

Every entry of `METRICS` is called alike: ``metric(truth, predictions) -> MetricResult`` with a list of `Record` and a
list of `Poses` of the same length and order. ``oks_ap`` finds by itself who belongs to whom; all others need
predictions made on the truth's boxes, one for each of ``record.persons`` in order.

Adding a metric: 1. write ``metrics/<name>.py`` with a pure function on arrays and, on top of it,
``<name>_result(truth, predictions) -> MetricResult``; 2. add the latter to `METRICS` below; 3. state in its docstring
what it does with unlabelled, unpredicted and crowd. The conformance suite picks it up by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..types import Poses, Record
from .calibration import ece_result
from .masks import (
    boundary_f,
    dice,
    iou,
    mask_boundary_f_result,
    mask_dice_in_box_result,
    mask_dice_result,
    mask_iou_result,
    soft_dice,
)
from .oks import OksResult, oks, oks_ap
from .pck import (
    LIMBS12,
    PckScores,
    auc_result,
    epe_result,
    normalised_distances,
    pck,
    pck_auc,
    pck_fallback_result,
    pck_result,
    pck_system2_result,
    pck_system3_result,
    pckh_result,
)
from .result import MetricResult
from .scales import SCALES, TORSO_FALLBACK, torso_px

METRICS: dict[str, Callable[[Sequence[Record], Sequence[Poses]], MetricResult]] = {
    "auc": auc_result,
    "ece": ece_result,
    "epe": epe_result,
    "mask_boundary_f": mask_boundary_f_result,
    "mask_dice": mask_dice_result,
    "mask_dice_in_box": mask_dice_in_box_result,
    "mask_iou": mask_iou_result,
    "oks_ap": oks_ap,
    "pck": pck_result,
    "pck_fallback": pck_fallback_result,
    "pck_system2": pck_system2_result,
    "pck_system3": pck_system3_result,
    "pckh": pckh_result,
}

__all__ = [
    "LIMBS12", "METRICS", "SCALES", "TORSO_FALLBACK", "MetricResult", "OksResult", "PckScores",
    "auc_result", "boundary_f", "dice", "ece_result", "epe_result", "iou", "mask_boundary_f_result",
    "mask_dice_in_box_result", "mask_dice_result", "mask_iou_result", "normalised_distances", "oks", "oks_ap", "pck",
    "pck_auc", "pck_fallback_result", "pck_result", "pck_system2_result", "pck_system3_result", "pckh_result",
    "soft_dice", "torso_px",
]  # fmt: skip
