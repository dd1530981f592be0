"""Errors of 3D poses in millimetres: MPJPE and its aligned variants, PCK3D, its area, and velocities.

MPJPE: Ionescu et al., TPAMI 2014 ("Human3.6M"), section 4; after Procrustes alignment (PA-MPJPE, "protocol 2"): as in
Martinez et al., ICCV 2017; after the best scale alone (N-MPJPE): Rhodin et al., CVPR 2018; PCK at 150 mm and the mean
PCK over thresholds up to it: Mehta et al., 3DV 2017 ("MPI-INF-3DHP"); velocities (MPJVE): Pavllo et al., CVPR 2019.

Pure functions on (N, K, 3) arrays; they are not in `METRICS`, whose entries compare pictures' annotations in pixels.
All agree on what counts: a joint whose true position is NaN never does; the prediction must be finite wherever the
truth is; a pose whose root is unlabelled is left out where positions are relative to the root. What was never compared
has the value NaN and takes no part in a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..geometry.procrustes import align
from .result import MetricResult

AUC_THRESHOLDS_MM = tuple(float(t) for t in range(0, 151, 5))
"""0, 5 ... 150 mm: the 31 thresholds over which MPI-INF-3DHP's area is a mean."""

ALIGNMENTS = ("root", "none", "scale", "procrustes")


def joint_errors_mm(pred_mm: np.ndarray, truth_mm: np.ndarray, *, alignment: str = "root", root: int = 0) -> np.ndarray:
    """(N, K) distances between predicted and true joints, NaN where the truth is not labelled.

    Parameters
    ----------
    pred_mm, truth_mm : (N, K, 3) millimetres, in the same axes.
    alignment : what is forgiven before distances are taken: ``"none"``; ``"root"``: both are moved to have joint
        ``root`` at the origin; ``"scale"``: that, and the prediction is scaled as suits the truth best;
        ``"procrustes"``: the best scale, rotation and translation. Each pose is aligned by itself.
    root : index of the root joint.

    Raises
    ------
    ShapeError
        Shapes that differ, an unknown alignment, a root out of range, or a labelled joint without a prediction.
    """
    pred, truth = _pair(pred_mm, truth_mm)
    if alignment not in ALIGNMENTS:
        raise ShapeError(f"alignment must be one of {', '.join(ALIGNMENTS)}, got {alignment!r}")
    if alignment in ("root", "scale"):
        pred, truth = root_relative(pred, root), root_relative(truth, root)
    if alignment == "scale":
        labelled = np.isfinite(truth)
        inside, fixed = np.where(labelled, pred, 0.0), np.where(labelled, truth, 0.0)
        length = (inside**2).sum(axis=(1, 2))
        scale = (inside * fixed).sum(axis=(1, 2)) / np.where(length > 0, length, 1.0)
        pred = pred * np.where(length > 0, scale, 1.0)[:, None, None]
    elif alignment == "procrustes":
        pred = align(pred, truth)
    return np.linalg.norm(pred - truth, axis=2)


def root_relative(joints_mm: np.ndarray, root: int = 0) -> np.ndarray:
    """(N, K, 3) joints relative to joint ``root``; all NaN where the root is. `ShapeError` for a root out of range."""
    if not 0 <= root < joints_mm.shape[-2]:
        raise ShapeError(f"root must be the index of one of {joints_mm.shape[-2]} joints, got {root}")
    return joints_mm - joints_mm[..., root : root + 1, :]


def mpjpe(pred_mm: np.ndarray, truth_mm: np.ndarray, *, root: int | None = 0) -> float:
    """Mean per joint position error in mm, relative to joint ``root`` (None: in absolute positions).

    The mean is over all labelled joints; the root itself, whose error is 0, counts, as is usual. NaN if none is.
    """
    return _mean(joint_errors_mm(pred_mm, truth_mm, alignment="none" if root is None else "root", root=root or 0))


def pa_mpjpe(pred_mm: np.ndarray, truth_mm: np.ndarray) -> float:
    """MPJPE in mm after the best scale, rotation and translation of each pose."""
    return _mean(joint_errors_mm(pred_mm, truth_mm, alignment="procrustes"))


def n_mpjpe(pred_mm: np.ndarray, truth_mm: np.ndarray, *, root: int = 0) -> float:
    """MPJPE in mm relative to the root, after the best scale of each pose."""
    return _mean(joint_errors_mm(pred_mm, truth_mm, alignment="scale", root=root))


def pck3d(errors_mm: np.ndarray, threshold_mm: float = 150.0) -> float:
    """Fraction of labelled joints whose error (N, K; from `joint_errors_mm`) is at most ``threshold_mm``."""
    compared = ~np.isnan(errors_mm)
    return _mean(np.where(compared, np.asarray(errors_mm) <= threshold_mm, np.nan))


def auc3d(errors_mm: np.ndarray, thresholds_mm: Sequence[float] | None = AUC_THRESHOLDS_MM) -> float:
    """Area under the PCK curve of errors (N, K): the mean of `pck3d` over thresholds.

    None for the thresholds gives the exact area from 0 to 150 mm, divided by 150: a joint with the error d is right
    for every threshold beyond, so it adds ``max(0, 1 - d / 150)``.
    """
    errors = np.asarray(errors_mm, np.float64)
    if thresholds_mm is None:
        return _mean(np.clip(1 - errors / 150.0, 0.0, None))
    return float(np.mean([pck3d(errors, t) for t in thresholds_mm])) if len(thresholds_mm) else float("nan")


def velocity_errors_mm(
    pred_mm: np.ndarray,
    truth_mm: np.ndarray,
    sequences: Sequence[Any] | np.ndarray | None = None,
    *,
    root: int | None = 0,
) -> np.ndarray:
    """(N - 1, K) lengths of the difference between predicted and true movement from one frame to the next.

    ``sequences`` (N,) says which take a frame belongs to; between takes, and where a joint is unlabelled in either
    frame, the value is NaN. Positions are relative to joint ``root`` unless that is None. Millimetres per frame.
    """
    pred, truth = _pair(pred_mm, truth_mm)
    if root is not None:
        pred, truth = root_relative(pred, root), root_relative(truth, root)
    errors = np.linalg.norm(np.diff(pred, axis=0) - np.diff(truth, axis=0), axis=2)
    if sequences is not None:
        takes = _groups("sequences", sequences, len(pred))
        errors[takes[1:] != takes[:-1]] = np.nan
    return errors


def mpjve(
    pred_mm: np.ndarray,
    truth_mm: np.ndarray,
    sequences: Sequence[Any] | np.ndarray | None = None,
    *,
    fps: float | None = None,
    root: int | None = 0,
) -> float:
    """Mean per joint velocity error, in mm per frame, or in mm per second where ``fps`` is given."""
    return _mean(velocity_errors_mm(pred_mm, truth_mm, sequences, root=root)) * (1.0 if fps is None else fps)


def pose3d_result(
    pred_mm: np.ndarray,
    truth_mm: np.ndarray,
    joints: Sequence[str],
    *,
    root: int = 0,
    actions: Sequence[str] | np.ndarray | None = None,
    sequences: Sequence[Any] | np.ndarray | None = None,
    fps: float | None = None,
) -> MetricResult:
    """All of the above at once: MPJPE as the headline, a row a joint, the rest and a row an action in the details.

    Parameters
    ----------
    pred_mm, truth_mm : (N, K, 3) millimetres.
    joints : the K joints' names.
    root : index of the root joint.
    actions : (N,) names; the details then hold ``per_action``, and ``mean_over_actions``, in which every action weighs
        the same however long it is: the number that tables of Human3.6M give.
    sequences : (N,) which take each frame belongs to, frames in the order of time. Without it there is no velocity,
        since neighbours in an array need not be neighbours in time.
    fps : frames per second, to give the velocity in mm per second as well.

    Raises
    ------
    ShapeError
        Also for names, actions or sequences of another length.
    """
    pred, truth = _pair(pred_mm, truth_mm)
    if len(joints) != pred.shape[1]:
        raise ShapeError(f"expected the names of {pred.shape[1]} joints, got {len(joints)}")
    errors = {name: joint_errors_mm(pred, truth, alignment=name, root=root) for name in ("root", "scale", "procrustes")}
    table = []
    for k, joint in enumerate(joints):
        column = {name: _mean(values[:, k]) for name, values in errors.items()}
        row = {"joint": joint, "value": column["root"], "count": int((~np.isnan(errors["root"][:, k])).sum())}
        row |= {"pa_mpjpe_mm": column["procrustes"], "n_mpjpe_mm": column["scale"]}
        mine = errors["root"][:, k]
        table.append({**row, "pck3d_150": pck3d(mine), "auc3d_150": auc3d(mine)})
    details: dict[str, Any] = {**_summary(errors), "poses": len(pred), "root": joints[root]}
    velocities = None if sequences is None else velocity_errors_mm(pred, truth, sequences, root=root)
    if velocities is not None:
        details["mpjve_mm_per_frame"] = _mean(velocities)
        if fps is not None:
            details["mpjve_mm_per_s"] = _mean(velocities) * fps
    if actions is not None:
        groups, rows = _groups("actions", actions, len(pred)), {}
        for action, count in zip(*np.unique(groups, return_counts=True), strict=True):
            mine = groups == action
            row = {**_summary({name: values[mine] for name, values in errors.items()}), "poses": int(count)}
            if velocities is not None:
                row["mpjve_mm_per_frame"] = _mean(velocities[mine[1:] & mine[:-1]])
            rows[str(action)] = row
        details["per_action"] = rows
        averaged = [*_summary(errors), *(() if velocities is None else ("mpjve_mm_per_frame",))]
        details["mean_over_actions"] = {key: _mean(np.array([row[key] for row in rows.values()])) for key in averaged}
    return MetricResult(f"MPJPE (mm, relative to {joints[root]})", details["mpjpe_mm"], table, details)


def _summary(errors: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        "mpjpe_mm": _mean(errors["root"]),
        "pa_mpjpe_mm": _mean(errors["procrustes"]),
        "n_mpjpe_mm": _mean(errors["scale"]),
        "pck3d_150": pck3d(errors["root"]),
        "auc3d_150": auc3d(errors["root"]),
    }


def _pair(pred_mm: np.ndarray, truth_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, NaN in both where the truth is not labelled."""
    pred, truth = np.asarray(pred_mm, np.float64), np.asarray(truth_mm, np.float64)
    if pred.ndim != 3 or pred.shape[2] != 3 or pred.shape != truth.shape:
        raise ShapeError(f"expected predictions and truth (N, K, 3) in mm, got {pred.shape} and {truth.shape}")
    labelled = np.asarray(np.isfinite(truth).all(axis=2))
    if not np.isfinite(pred[labelled]).all():
        raise ShapeError("a joint that the truth labels has no finite prediction; 3D errors need one for each")
    return np.where(labelled[..., None], pred, np.nan), np.where(labelled[..., None], truth, np.nan)


def _groups(name: str, values: Sequence[Any] | np.ndarray, count: int) -> np.ndarray:
    groups = np.asarray(values)
    if groups.shape != (count,):
        raise ShapeError(f"expected {name} to have one entry for each of {count} poses, got shape {groups.shape}")
    return groups


def _mean(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN, without a warning, if nothing is left."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")
