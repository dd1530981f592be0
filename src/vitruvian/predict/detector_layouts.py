"""How the outputs of other makers' detectors are read: `LAYOUTS`, by name.

Sources: the makers' own descriptions of what their files give (Ultralytics, YOLOX, torchvision, MMDeploy); Carion et
al., ECCV 2020 (DETR: queries, each with a box in shares of the picture and a softmax that may say "nobody"); Zhu et
al., ICLR 2021 (Deformable DETR: a sigmoid for each class instead, as RT-DETR, D-FINE and RF-DETR have it).

Adding a layout: a function of type `Layout`, its name in `LAYOUTS` with what it reads, in `cli._detector.LAYOUTS` and
in the table of ``docs/adding-a-detector.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import WeightsError

Layout = Callable[[Sequence[np.ndarray], int], tuple[np.ndarray, np.ndarray]]
"""A network's outputs for one image, and the index of the class "person" -> boxes (N, 4) x0, y0, x1, y1 in pixels of
the network's input, scores (N,)."""


def _yolo(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    rows = _rows(outputs[0], 5 + person)
    return _corners(rows[:, :4]), rows[:, 4 + person]


def _yolo_transposed(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    return _yolo([np.swapaxes(outputs[0], -1, -2)], person)


def _yolo_objectness(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    rows = _rows(outputs[0], 6 + person)
    return _corners(rows[:, :4]), rows[:, 4] * rows[:, 5 + person]


def _boxes_scores_labels(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    fours = [o for o in outputs if o.shape[-1:] == (4,) and o.dtype.kind == "f"]
    boxes = max(fours, key=lambda o: o.size, default=None)  # the scores of four boxes are four numbers too
    flat = [o for o in outputs if o is not boxes]
    scores = next((o.reshape(-1) for o in flat if o.dtype.kind == "f"), None)
    if boxes is None or scores is None or scores.size != boxes.size // 4:
        raise WeightsError(f"expected outputs with boxes (N, 4) and scores (N,), got {[o.shape for o in outputs]}")
    return _of_people(boxes.reshape(-1, 4), scores, flat, person)


def _boxes_scored(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    scored = next((o for o in outputs if o.shape[-1:] == (5,) and o.dtype.kind == "f"), None)
    if scored is None:
        raise WeightsError(f"expected an output of boxes and scores (N, 5), got {[o.shape for o in outputs]}")
    rows = scored.reshape(-1, 5)
    return _of_people(rows[:, :4], rows[:, 4], [o for o in outputs if o is not scored], person)


def _detr(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    boxes, logits = _queries(outputs, person + 1)  # the last number of each row says "nobody"
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return boxes, chances[:, person] / chances.sum(axis=1)


def _detr_sigmoid(outputs: Sequence[np.ndarray], person: int) -> tuple[np.ndarray, np.ndarray]:
    boxes, logits = _queries(outputs, person)
    return boxes, 0.5 + 0.5 * np.tanh(0.5 * logits[:, person])  # the sigmoid, which does not overflow so


def _queries(outputs: Sequence[np.ndarray], least: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) as corners and logits (N, more than ``least``); what else there is (masks) is left alone."""
    rows = [o.reshape(-1, o.shape[-1]) for o in outputs if o.ndim in (2, 3) and o.dtype.kind == "f"]
    boxes = next((i for i, o in enumerate(rows) if o.shape[1] == 4), None)
    if boxes is not None:
        for i, logits in enumerate(rows):
            if i != boxes and len(logits) == len(rows[boxes]) and logits.shape[1] > least:
                return _corners(rows[boxes]), logits.astype(np.float32)
    raise WeightsError(
        f"expected outputs with boxes (N, 4) and more than {least} logits (N, C), got {[o.shape for o in outputs]}"
    )


LAYOUTS: dict[str, Layout] = {
    "yolo": _yolo,  # one output of (A, 4 + C) rows: centre x, y, width, height, a score for each class
    "yolo_transposed": _yolo_transposed,  # the same as (4 + C, A): YOLOv8 and later
    "yolo_objectness": _yolo_objectness,  # (A, 5 + C): a score for there being anything stands before the classes'
    "boxes_scores_labels": _boxes_scores_labels,  # float (N, 4), float (N,), perhaps integer (N,), in any order
    "boxes_scored": _boxes_scored,  # float (N, 5) corners and score, perhaps integer labels (N,)
    "detr": _detr,  # centre x, y, width, height (N, 4) as shares of the input; logits (N, C + 1), the last of nobody
    "detr_sigmoid": _detr_sigmoid,  # the same with logits (N, C), each class by itself: RF-DETR, RT-DETR's network
}

RELATIVE = frozenset({"detr", "detr_sigmoid"})
"""Layouts whose boxes are shares of the input's width and height instead of pixels."""

BOX_OUTPUTS = ("pred_boxes", "dets", "boxes")
"""How files that `RELATIVE` layouts are for name their boxes: of three classes there are four logits too."""


def _rows(output: np.ndarray, least: int) -> np.ndarray:
    if output.ndim < 2 or output.shape[-1] < least:
        raise WeightsError(f"expected rows of {least} or more numbers from the detector, got an output {output.shape}")
    return output.reshape(-1, output.shape[-1])


def _corners(centres_and_sizes: np.ndarray) -> np.ndarray:
    half = centres_and_sizes[:, 2:] / 2
    return np.concatenate([centres_and_sizes[:, :2] - half, centres_and_sizes[:, :2] + half], axis=1)


def _of_people(
    boxes: np.ndarray, scores: np.ndarray, others: Sequence[np.ndarray], person: int
) -> tuple[np.ndarray, np.ndarray]:
    """Those that the integer output of the same length says are people; all where there is no such output."""
    labels = next((o.reshape(-1) for o in others if o.dtype.kind in "iu" and o.size == len(boxes)), None)
    keep = np.full(len(boxes), True) if labels is None else labels == person
    return boxes[keep], scores[keep]
