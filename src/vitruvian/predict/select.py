"""Which of the people found in one image are kept, and how sure of each one is: the last steps of a top-down pipeline.

Sources: Lin et al.'s object keypoint similarity (ECCV 2014; cocodataset.org, "keypoint evaluation") used as the overlap
of a greedy non-maximum suppression, as Papandreou et al., CVPR 2017, "Towards Accurate Multi-person Pose Estimation in
the Wild", section 3.3 propose; threshold 0.9, and scores that are the box's times the mean of the joints above 0.2, as
in system 1 (github.com/akmeraki/Pose_estimation, ``main/test.py``).

Boxes of one person overlap with those of its neighbour in any crowd, but two people hardly ever stand in the same pose
at the same place: two boxes whose poses agree are one person, found twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ShapeError
from ..geometry import boxes as box_tools
from ..types import Poses


def pose_similarity(
    keypoints_px: np.ndarray, areas_px: np.ndarray, sigmas: np.ndarray, counted: np.ndarray | None = None
) -> np.ndarray:
    """(N, N) object keypoint similarity of every pair of people in one image, symmetric, 1 on the diagonal.

    The mean of ``exp(-d^2 / (2 area k^2))`` with ``k = 2 sigma`` over the joints that count for both people; the area
    is the mean of their two. Two people without a common joint have the similarity 0.

    Parameters
    ----------
    keypoints_px : (N, K, 2) pixels; NaN where a joint was not found.
    areas_px : (N,) square pixels.
    sigmas : (K,) the skeleton's, COCO's sigma and not its double.
    counted : (N, K) bool: joints that take part, or None for all that have a position.

    Raises
    ------
    ShapeError
        Arrays that do not belong together.
    """
    keypoints, areas = np.asarray(keypoints_px, np.float64), np.asarray(areas_px, np.float64)
    sigmas = np.asarray(sigmas, np.float64)
    if keypoints.ndim != 3 or keypoints.shape[1:] != (*sigmas.shape, 2) or areas.shape != keypoints.shape[:1]:
        raise ShapeError(
            "expected keypoints (N, K, 2), areas (N,) and sigmas (K,), "
            f"got {keypoints.shape}, {areas.shape} and {sigmas.shape}"
        )
    placed = np.asarray(np.isfinite(keypoints).all(axis=2))
    if counted is not None:
        if np.shape(counted) != placed.shape:
            raise ShapeError(f"counted must be (N, K) = {placed.shape}, got {np.shape(counted)}")
        placed = np.logical_and(placed, counted)
    keypoints = np.where(placed[..., None], keypoints, 0.0)
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=3)
    area = (areas[:, None] + areas[None]) / 2
    # np.spacing(1) is COCO's guard against an area of 0
    similarity = np.exp(-squared / (2 * (2 * sigmas) ** 2) / (area[..., None] + np.spacing(1)))
    both = placed[:, None] & placed[None]
    mean = np.where(both, similarity, 0.0).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    np.fill_diagonal(mean, 1.0)
    return mean


def oks_nms(
    keypoints_px: np.ndarray,
    person_scores: np.ndarray,
    areas_px: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.9,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """(M,) indices of the people that are kept, best first: nobody more similar than ``threshold`` to a better one.

    Parameters
    ----------
    keypoints_px, areas_px, sigmas, counted : as in `pose_similarity`.
    person_scores : (N,); of equal scores the earlier person goes first.
    threshold : similarity 0..1; 1 keeps everybody.

    Raises
    ------
    ShapeError
        Arrays that do not belong together, or a threshold outside of 0..1.
    """
    similarity = pose_similarity(keypoints_px, areas_px, sigmas, counted)
    return _greedy(person_scores, lambda person, others: similarity[person, others], len(similarity), threshold)


def box_nms(boxes_xyxy: np.ndarray, scores: np.ndarray, max_iou: float = 0.65) -> np.ndarray:
    """(M,) indices of the boxes that are kept, best first: none overlaps with a better one by more than ``max_iou``.

    Parameters
    ----------
    boxes_xyxy : (N, 4).
    scores : (N,); of equal scores the earlier box goes first.
    max_iou : intersection over union 0..1; 1 keeps every box.

    Raises
    ------
    ShapeError
        Arrays that do not belong together, or ``max_iou`` outside of 0..1.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    overlap = lambda box, others: box_tools.iou(boxes[box : box + 1], boxes[others])[0]  # noqa: E731
    return _greedy(scores, overlap, len(boxes), max_iou)


def _greedy(
    scores: np.ndarray, likeness: Callable[[int, np.ndarray], np.ndarray], count: int, threshold: float
) -> np.ndarray:
    """Best first, each taking out all later ones whose likeness to it is above ``threshold``."""
    scores = np.asarray(scores, np.float64)
    if scores.shape != (count,) or not np.isfinite(scores).all() or not 0 <= threshold <= 1:
        raise ShapeError(
            f"expected {count} finite scores and a threshold in 0..1, got {scores.shape} scores and {threshold}"
        )
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[likeness(best, left) <= threshold]
    return np.array(kept, dtype=np.int64)


@dataclass(frozen=True)
class Selection:
    """What is done with the people found in boxes that come with scores: `Selection()(poses)` gives other `Poses`.

    Attributes
    ----------
    rescore_above : a person's score is the box's times the mean of the joints that score more than this (0 where none
        does); None leaves the mean over all joints. A detector's box often holds half a person, and what cannot be seen
        should not speak against what can.
    same_person : of people whose poses are more similar than this (OKS, with the boxes' areas) only the best is kept;
        None or 1 keeps everybody.
    all_joints : compare by every joint that has a position, as system 1 does; False leaves out joints that score
        ``rescore_above`` or less in either person, whose places are guesses.
    person_above : who has a lower `Poses.mean_scores` is something else that the detector took for a person. None
        drops nobody, but `Predictor` puts the model's own figure there (`Card.person_above`) for boxes that a detector
        of its own has just found.
    sure_box : in boxes that score s, less than this, ``person_above`` is ``sqrt(sure_box / s)`` times as high: box and
        joints speak together, joints twice. 0 asks the same in every box, and so does None, but `Predictor` puts the
        detector's own figure there (`PersonDetector.sure_box`) for boxes that it has just found.
    """

    rescore_above: float | None = 0.2
    same_person: float | None = 0.9
    all_joints: bool = True
    person_above: float | None = None
    sure_box: float | None = None

    def __post_init__(self) -> None:
        for name in ("rescore_above", "same_person", "person_above", "sure_box"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ShapeError(f"{name} must be None or lie in 0..1, got {value}")

    def __call__(self, poses: Poses) -> Poses:
        """The people that are kept, in the order they came in, with their new scores."""
        poses = replace(poses, rescore_above=self.rescore_above)
        if self.person_above is not None and len(poses):
            poses = poses.select(np.flatnonzero(poses.mean_scores * self._box_weight(poses) >= self.person_above))
        if self.same_person is None or len(poses) < 2:
            return poses
        counted = None if self.all_joints else poses.scores > (self.rescore_above or 0.0)
        areas, sigmas = box_tools.area(poses.boxes), np.asarray(poses.skeleton.sigmas)
        kept = oks_nms(poses.keypoints, poses.person_scores, areas, sigmas, self.same_person, counted)
        return poses if len(kept) == len(poses) else poses.select(np.sort(kept))

    def _box_weight(self, poses: Poses) -> np.ndarray | float:
        """(N,) at most 1."""
        if not self.sure_box or poses.box_scores is None:
            return 1.0
        return np.sqrt(np.minimum(poses.box_scores / self.sure_box, 1.0))
