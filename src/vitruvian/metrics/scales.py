"""The lengths that pixel errors are divided by: a person's torso, head or box, always measured on the truth.

torso         |left shoulder - right hip|: the diagonal used for PCK on FLIC and LSP (Sapp & Taskar, CVPR 2013).
head_box      0.6 x the diagonal of MPII's head rectangle (Andriluka et al., CVPR 2014, and its evaluation code).
head_segment  |neck - head top|, for data with these joints but no head rectangle.
ear_distance  |left ear - right ear|.
hip_width     |left hip - right hip|.
box_side      the longer side of the person's box.

A length that cannot be measured (a joint is not labelled, no box, no extent) is NaN and the person is left out and
counted. Nothing stands in for it unless a *chain* of names asks for that: numbers with different lengths behind them
do not compare, so the result then names the length used for every person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ShapeError, SkeletonError
from ..skeletons import Skeleton
from .people import People

HEAD_BOX_FACTOR = 0.6  # MPII's: makes the diagonal of its head rectangle about the length of the head


def between_px(skeleton: Skeleton, keypoints_px: np.ndarray, first: str, second: str) -> np.ndarray:
    """(N,) pixels between two named joints of (N, K, 2); NaN where either is not labelled or they coincide.

    Raises `SkeletonError` when the skeleton lacks one of them.
    """
    keypoints = np.asarray(keypoints_px, dtype=np.float64)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton), 2):
        raise ShapeError(f"expected keypoints (N, {len(skeleton)}, 2) of '{skeleton.name}', got {keypoints.shape}")
    step = keypoints[:, skeleton.index(first)] - keypoints[:, skeleton.index(second)]
    return _positive(np.hypot(step[:, 0], step[:, 1]))


def torso_px(skeleton: Skeleton, keypoints_px: np.ndarray) -> np.ndarray:
    """(N,) |left shoulder - right hip| in pixels of (N, K, 2) keypoints; NaN where it cannot be measured."""
    return between_px(skeleton, keypoints_px, "left_shoulder", "right_hip")


def head_box_px(head_boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N,) 0.6 x the diagonal of (N, 4) head rectangles in pixels; rows of NaN (no rectangle) stay NaN."""
    boxes = np.asarray(head_boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    return _positive(HEAD_BOX_FACTOR * np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))


def box_side_px(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N,) the longer side of (N, 4) boxes in pixels; rows of NaN (no box) stay NaN."""
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    return _positive(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))


def _positive(length_px: np.ndarray) -> np.ndarray:
    return np.where(length_px > 0, length_px, np.nan)


def _boxes(people: People, attribute: str) -> np.ndarray:
    boxes = [getattr(person, attribute) for person in people.persons]
    return np.array([np.full(4, np.nan) if box is None else box for box in boxes], dtype=np.float64).reshape(-1, 4)


def _joints(first: str, second: str) -> Callable[[People], np.ndarray]:
    return lambda people: between_px(people.skeleton, people.truth_px, first, second)


SCALES: dict[str, Callable[[People], np.ndarray]] = {
    "torso": _joints("left_shoulder", "right_hip"),
    "head_box": lambda people: head_box_px(_boxes(people, "head_box_xyxy")),
    "head_segment": _joints("neck", "head_top"),
    "ear_distance": _joints("left_ear", "right_ear"),
    "hip_width": _joints("left_hip", "right_hip"),
    "box_side": lambda people: box_side_px(_boxes(people, "box_xyxy")),
}

TORSO_FALLBACK = ("torso", "head_box", "head_segment", "ear_distance", "hip_width")
"""A chain for those who would rather keep persons without a labelled torso: torso, then the head, then the hips."""


def measure(people: People, scale: str | Sequence[str] | np.ndarray) -> tuple[np.ndarray, list[str | None]]:
    """The length of every person and what it is.

    Parameters
    ----------
    scale : a name of `SCALES`; several names, tried in this order for each person; or (N,) given lengths in pixels.

    Returns
    -------
    (N,) float64 pixels, NaN where nothing could be measured, and for each person the name used (None there).

    Raises
    ------
    ShapeError
        An unknown name, or given lengths of another shape.
    SkeletonError
        A single name whose joints the skeleton lacks. In a chain such a name is passed over, unless all are.
    """
    if isinstance(scale, np.ndarray):
        lengths = np.asarray(scale, dtype=np.float64)
        if lengths.shape != (len(people),):
            raise ShapeError(f"given scales must be one length for each of {len(people)} people, got {lengths.shape}")
        lengths = _positive(lengths)
        return lengths, ["given" if np.isfinite(length) else None for length in lengths]
    chain = (scale,) if isinstance(scale, str) else tuple(scale)
    unknown = [name for name in chain if name not in SCALES]
    if unknown or not chain:
        raise ShapeError(
            f"unknown scale {unknown or chain}; known: {', '.join(SCALES)}, or an array of lengths in pixels"
        )
    lengths = np.full(len(people), np.nan)
    used: list[str | None] = [None] * len(people)
    problems: list[SkeletonError] = []
    for name in chain:
        try:
            candidate = SCALES[name](people)
        except SkeletonError as problem:
            problems.append(problem)
            continue
        for n in np.flatnonzero(np.isnan(lengths) & np.isfinite(candidate)):
            lengths[n], used[n] = candidate[n], name
    if len(problems) == len(chain):
        raise problems[0]
    return lengths, used
