"""From what users give to what the pipeline works on: decoded images with checked boxes, or the error that each had."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from ..data.images import as_image
from ..errors import ShapeError, VitruvianError
from ..geometry import boxes as box_tools
from .detectors import Detections, checked_detections, checked_sure_box


@dataclass(eq=False)
class Loaded:
    """An image as it comes from the background thread."""

    index: int
    path: Path | None
    image: np.ndarray | None = None
    size_wh: tuple[int, int] = (0, 0)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    box_scores: np.ndarray | None = None
    boxes_from: str = "given"
    sure_box: float | None = None
    error: VitruvianError | None = None

    @property
    def nbytes(self) -> int:
        return 0 if self.image is None else self.image.nbytes


def load_all(jobs: Iterable[tuple[Any, Any]], own_arrays: bool) -> Iterator[Loaded]:
    """Decode images and check their boxes; what is wrong with an image or its boxes travels as a value."""
    for index, (source, boxes) in enumerate(jobs):
        path = Path(source) if isinstance(source, str | os.PathLike) else None
        try:
            image, path = as_image(source)
            # A view, of an array of another kind, a memory view or a tensor, is somebody's memory as well.
            if own_arrays and path is None and (image is source or not image.flags.owndata):
                image = image.copy()
            size_wh = (image.shape[1], image.shape[0])
            name, scores, boxes_from, sure = str(path or f"image {index}"), None, "given", None
            if boxes is None:
                checked, boxes_from = box_tools.whole_image(size_wh)[None], "whole image"
            elif callable(boxes):
                (checked, scores), boxes_from = checked_detections(boxes(image), size_wh, name), "detector"
                sure = checked_sure_box(boxes, name)
            elif isinstance(boxes, Detections):
                checked, scores = _checked_boxes(boxes.boxes_xyxy, size_wh, name), boxes.scores
                if np.shape(scores) != (len(checked),):
                    raise ShapeError(f"{name}: got {len(checked)} boxes and scores of shape {np.shape(scores)}")
                if not ((np.asarray(scores) >= 0) & (np.asarray(scores) <= 1)).all():
                    raise ShapeError(f"{name}: the boxes' scores must lie in [0, 1], got {np.asarray(scores).tolist()}")
            else:
                checked = _checked_boxes(boxes, size_wh, name)
            yield Loaded(index, path, image, size_wh, checked, scores, boxes_from, sure)
        except VitruvianError as error:
            yield Loaded(index, path, error=error)


def _checked_boxes(boxes: Any, size_wh: tuple[int, int], name: str) -> np.ndarray:
    """(N, 4) boxes, every one with an area inside of the image."""
    try:
        checked = box_tools.as_boxes(boxes)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}") from error
    seen = box_tools.area(box_tools.clip(checked, size_wh))
    for i in np.flatnonzero(seen <= 0):
        corners = [round(float(v), 2) for v in checked[i]]
        if box_tools.area(checked[i]) <= 0:
            raise ShapeError(f"{name}: box {i} {corners} has no area; a box is x0, y0, x1, y1 with x1 > x0 and y1 > y0")
        raise ShapeError(
            f"{name}: box {i} {corners} lies outside of the image, which is {size_wh[0]} x {size_wh[1]} pixels"
        )
    return checked


def boxes_per_image(boxes: Any, count: int) -> Iterable[Any]:
    """What `Predictor.predict` takes for ``count`` images, image by image; `ShapeError` where they do not fit."""
    if boxes is None or callable(boxes):
        return repeat(boxes, count)
    if not (isinstance(boxes, list | tuple) and not isinstance(boxes, Detections)) and not (
        isinstance(boxes, np.ndarray) and boxes.ndim == 3
    ):
        raise ShapeError(
            "for a list of images, boxes must be a list with an (N, 4) array (or None) for each image, "
            f"got {type(boxes).__name__}"
        )
    if len(boxes) != count:
        raise ShapeError(f"got boxes for {len(boxes)} images, expected one entry for each of {count} images")
    return boxes
