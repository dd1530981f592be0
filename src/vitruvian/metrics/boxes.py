"""Average precision of people's boxes: COCO's (Lin et al., ECCV 2014), counted by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..extras import need
from ..geometry import boxes as box_tools

STATS = {"AP": 0, "AP50": 1, "AP75": 2, "AP_S": 3, "AP_M": 4, "AP_L": 5, "AR": 8}
"""Name -> place in COCO's row of numbers."""

_MOST = 100  # boxes of one picture that count


def box_stats(
    truth: Sequence[tuple[np.ndarray, np.ndarray]], found: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float | None]:
    """COCO's figures over pictures; None where there is nothing to find.

    Parameters
    ----------
    truth : for each picture the people's boxes (N, 4) and regions (M, 4) where what is found is neither right nor
        wrong (COCO's crowds), xyxy pixels.
    found : for each picture boxes (P, 4) and their scores (P,); the 100 best of each count.

    Raises
    ------
    ShapeError
        Another number of pictures, or boxes and scores that do not belong together.
    MissingExtraError
        faster-coco-eval is not installed.
    """
    if len(truth) != len(found):
        raise ShapeError(f"got boxes for {len(found)} pictures, expected one entry for each of {len(truth)}")
    coco = need("faster_coco_eval", "evaluate", "the average precision of boxes")
    head = {"images": [{"id": i + 1} for i in range(len(truth))], "categories": [{"id": 1, "name": "person"}]}
    right, said = [], []
    for i, ((boxes, ignored), (found_boxes, scores)) in enumerate(zip(truth, found, strict=True)):
        if len(found_boxes) != len(scores):
            raise ShapeError(f"picture {i}: got {len(found_boxes)} boxes and {len(scores)} scores")
        right += [_annotation(len(right), i, box, iscrowd=0) for box in boxes]
        right += [_annotation(len(right) + k, i, box, iscrowd=1) for k, box in enumerate(ignored)]
        pairs = zip(found_boxes, scores, strict=True)
        said += [_annotation(len(said) + k, i, box, score=float(score)) for k, (box, score) in enumerate(pairs)]
    for k, annotation in enumerate(right):
        annotation["id"] = k + 1
    evaluation = coco.COCOeval_faster(
        coco.COCO({**head, "annotations": right}),
        coco.COCO({**head, "annotations": said}),
        iouType="bbox",
        print_function=lambda *_: None,
    )
    evaluation.params.maxDets = [1, 10, _MOST]
    evaluation.params.catIds = [1]
    evaluation.run()
    stats = np.asarray(evaluation.stats)
    return {name: float(stats[place]) if stats[place] >= 0 else None for name, place in STATS.items()}


def _annotation(number: int, picture: int, box_xyxy: np.ndarray, **fields: Any) -> dict[str, Any]:
    box = np.asarray(box_xyxy, np.float64)
    return {
        "id": number + 1,
        "image_id": picture + 1,
        "category_id": 1,
        "bbox": box_tools.xyxy_to_xywh(box).tolist(),
        "area": float(box_tools.area(box)),
        "iscrowd": 0,
        **fields,
    }
