"""Overlapping parts of a photo, for a detector that looks at it from nearer, and what a part may say.

Source: Akyon et al., ICIP 2022, "Slicing Aided Hyper Inference and Fine-tuning for Small Object Detection". Of large
people a part shows a piece that looks like somebody, and its edges cut people: so it speaks of small people alone, and
of those that end within it.
"""

from __future__ import annotations

import numpy as np

from ..geometry import boxes as box_tools

ZOOM = 1.7
"""How much larger a part is for the network than the whole photo; two of them overlap by 0.3 of their length."""

LARGE = 0.5
"""Somebody is large from this share of the longer side on, a photo's or a part's."""

_EDGE = 0.02
"""A box that comes so near to where a part ends, as a share of its longer side, may go on beyond it."""

_SPARE = 1.15
"""What is longer than a part by less is taken whole, a little smaller: two parts would be nearly the same."""


def parts_xyxy(size_wh: tuple[int, int], input_wh: tuple[int, int]) -> np.ndarray:
    """(2 or 4, 4) boxes in pixels that cover a photo of (w, h) pixels, for a network whose input is of ``input_wh``.

    Of a square input's, one shows all of a person, away from its edges, who is no longer than 0.25 of it either way.
    """
    whole = box_tools.whole_image(size_wh)
    spans = []
    scale = min(side / length for side, length in zip(input_wh, size_wh, strict=True))
    for low, high, side in zip(whole[:2], whole[2:], input_wh, strict=True):
        length = side / scale / ZOOM
        one = high - low <= _SPARE * length
        spans.append([(low, high)] if one else [(low, low + length), (high - length, high)])
    return np.array([(x0, y0, x1, y1) for y0, y1 in spans[1] for x0, x1 in spans[0]])


def said_by(part_xyxy: np.ndarray, boxes_xyxy: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(N,) bool: which of the boxes (N, 4) found in a part of a photo of (w, h) pixels are small and end within it."""
    whole, side = box_tools.whole_image(size_wh), longer_sides(part_xyxy[None])[0]
    low, high = part_xyxy[:2] + _EDGE * side, part_xyxy[2:] - _EDGE * side
    low = np.where(part_xyxy[:2] > whole[:2], low, -np.inf)  # where the photo ends, nobody goes on
    high = np.where(part_xyxy[2:] < whole[2:], high, np.inf)
    within = (boxes_xyxy[:, :2] >= low).all(axis=1) & (boxes_xyxy[:, 2:] <= high).all(axis=1)
    return within & (longer_sides(boxes_xyxy) <= LARGE * side)


def longer_sides(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N,) pixels, of boxes (N, 4)."""
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1)
