"""Boxes around people: a score and four edges for each point of a few grids, without anchor shapes.

Source: FCOS (Tian et al., ICCV 2019, section 3.1): a point of a grid says how far it is to the left, upper, right and
lower edge of the person it belongs to. Which points belong to whom is a matter of training (``detection.py``).

A detector's card has the skeleton of one joint, the centre of a person (`skeletons.PERSON`). So `decode` gives the
centre of the surest box, and everything that deals with poses (export and its check, backends) deals with detectors
too; `decode_boxes` gives what one wants them for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, VitruvianError
from ..skeletons import Skeleton
from ..types import Outputs, Targets


@dataclass(frozen=True)
class BoxesCodec:
    """``"people"`` (A,) logits and ``"edges"`` (A, 4) distances in input pixels, the points of all grids in a row.

    Attributes
    ----------
    size_wh : the network input's (width, height), multiples of the largest stride.
    strides : input pixels between two points of each grid, finest first. A point is the middle of its cell.
    min_score : boxes below it are left out, unless one asks for them.
    max_iou : of boxes that overlap by more, only the best is kept.
    sure_box : the score from which on a box is as good as any for a pose model that checks it (`Selection.sure_box`);
        None leaves scores out of that.
    """

    kind: ClassVar[str] = "boxes"
    presence: ClassVar[bool] = False
    refined: ClassVar[bool] = False
    finds_joints: ClassVar[bool] = False

    size_wh: tuple[int, int] = (320, 320)
    strides: tuple[int, ...] = (8, 16, 32)
    min_score: float = 0.4
    max_iou: float = 0.6
    sure_box: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.min_score <= 1 and 0 <= self.max_iou <= 1):
            raise ShapeError(f"min_score and max_iou must lie in 0..1, got {self.min_score} and {self.max_iou}")
        if self.sure_box is not None and not 0 < self.sure_box <= 1:
            raise ShapeError(f"sure_box must be None, or above 0 and at most 1, got {self.sure_box}")
        fits = self.strides and all(s >= 1 and side % s == 0 for s in self.strides for side in self.size_wh)
        if not fits or list(self.strides) != sorted(set(self.strides)):
            raise ShapeError(
                f"strides must be ascending divisors of the input's sides, got {self.strides} for {self.size_wh}"
            )

    def resized(self, size_wh: tuple[int, int]) -> BoxesCodec:
        """The same codec for another input size."""
        return replace(self, size_wh=size_wh)

    def points_px(self) -> tuple[np.ndarray, np.ndarray]:
        """(A, 2) float32 x, y of every point in input pixels, row by row and grid by grid, and (A,) their strides."""
        return _points(self.size_wh, self.strides)

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """See `Codec.shapes`; the number of joints does not matter."""
        count = len(self.points_px()[0])
        return {"people": (count,), "edges": (count, 4)}

    def encode(self, keypoints_px: Any, visibility: Any) -> Targets:
        """Raises `VitruvianError`: boxes are not made of joints."""
        raise VitruvianError("a person detector learns boxes, not joints; see `vitruvian.detection` for its targets")

    encode_torch = encode

    def decode_boxes(self, outputs: Outputs, min_score: float | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each picture the boxes (N, 4) xyxy in input pixels and scores (N,) >= ``min_score``, the best first.

        None stands for the codec's own ``min_score``.

        Overlapping boxes of one person are all there; `vitruvian.predict.select.box_nms` chooses.
        """
        scores, boxes = self._scored(outputs)
        min_score = self.min_score if min_score is None else min_score
        found = []
        for each_scores, each_boxes in zip(scores, boxes, strict=True):
            index = np.flatnonzero(each_scores >= min_score)
            index = index[np.argsort(-each_scores[index], kind="stable")]
            found.append((each_boxes[index], each_scores[index]))
        return found

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """(B, 1, 2) the centre of each picture's surest box, and its score (B, 1)."""
        scores, boxes = self._scored(outputs)
        best = scores.argmax(axis=1)
        row = np.arange(len(best))
        box = boxes[row, best]
        return ((box[:, :2] + box[:, 2:]) / 2)[:, None], scores[row, best][:, None]

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """See `Codec.flip`: columns in reverse, left and right edges exchanged."""
        arrays = {k: np.asarray(v) for k, v in outputs.arrays.items()}
        order = _mirrored_points(self.size_wh, self.strides)
        return Outputs({"people": arrays["people"][:, order], "edges": arrays["edges"][:, order][..., [2, 1, 0, 3]]})

    def _scored(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """(B, A) scores and (B, A, 4) boxes."""
        people, edges = (_numpy(outputs.arrays[name]) for name in ("people", "edges"))
        points = self.points_px()[0]
        scores = 1 / (1 + np.exp(-np.clip(people, -60, 60)))
        return scores, np.concatenate([points - edges[..., :2], points + edges[..., 2:]], axis=-1)


def _numpy(array: Any) -> np.ndarray:
    return np.asarray(array.detach().float().cpu().numpy() if hasattr(array, "detach") else array, np.float32)


@cache
def _points(size_wh: tuple[int, int], strides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    points, steps = [], []
    for stride in strides:
        columns, rows = (np.arange(side // stride) for side in size_wh)
        x, y = np.meshgrid((columns + 0.5) * stride - 0.5, (rows + 0.5) * stride - 0.5)
        points.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full(x.size, stride))
    both = np.concatenate(points).astype(np.float32), np.concatenate(steps).astype(np.float32)
    for array in both:  # cached and shared
        array.setflags(write=False)
    return both


@cache
def _mirrored_points(size_wh: tuple[int, int], strides: tuple[int, ...]) -> np.ndarray:
    order, start = [], 0
    for stride in strides:
        width, height = size_wh[0] // stride, size_wh[1] // stride
        order.append(start + np.arange(width * height).reshape(height, width)[:, ::-1].ravel())
        start += width * height
    return np.concatenate(order)
