"""Where people's boxes come from: `Detector`, and adapters for detectors of other makers.

A detector is a function from an image to boxes and scores; `Predictor.predict(image, boxes=detector)` calls it.
Anything callable will do; `from_callable` cleans up after those that find all sorts of things, and `OnnxDetector` runs
an ONNX file.

Adding a detector: see ``docs/adding-a-detector.md``. Non-maximum suppression is in ``select.py``; the letterbox is
`Preprocess` with the whole image as its box and no padding, so its map back is the inverse of an `Affine`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import ShapeError, VitruvianError, WeightsError
from ..geometry import boxes as box_tools
from ..preprocess import Preprocess
from .backends.ort import open_session
from .detector_layouts import BOX_OUTPUTS, LAYOUTS, RELATIVE, Layout
from .select import box_nms

_MOST = 1000
"""Boxes that go into the suppression at most, the best ones: a threshold of 0 must not take minutes."""

LETTERBOX = Preprocess(size_wh=(640, 640), padding=1.0, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0), fill=114)
"""What the YOLO family is trained with: RGB 0..1, the image in the middle of grey."""

_PIXELS: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_IMAGENET = Preprocess()
INPUTS = {
    "rgb-1": LETTERBOX,
    "rgb-255": replace(LETTERBOX, **_PIXELS),
    "bgr-255": replace(LETTERBOX, colour="bgr", **_PIXELS),
    "rgb-imagenet": replace(LETTERBOX, mean=_IMAGENET.mean, std=_IMAGENET.std),
    "bgr-imagenet": replace(LETTERBOX, colour="bgr", mean=_IMAGENET.mean[::-1], std=_IMAGENET.std[::-1]),
}
"""What files with float inputs take, by name: RGB 0..1 (YOLOv5 and later, torchvision), pixels as they are (BGR:
YOLOX), or less ImageNet's mean and over its deviation (BGR: RTMDet). Of files with uint8 inputs the colours alone."""


class Detections(NamedTuple):
    """Boxes (N, 4) xyxy in pixels of the image and their scores (N,) in [0, 1]."""

    boxes_xyxy: np.ndarray
    scores: np.ndarray


class Detector(Protocol):
    """Anything that finds people.

    It is called from the thread that decodes images, while the network of another thread is at work. It may have an
    attribute ``sure_box``, the score in (0, 1] from which on its boxes are as good as any (`Selection.sure_box`).
    """

    def __call__(self, image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 RGB -> boxes (N, 4) x0, y0, x1, y1 in pixels of the image, scores (N,) in [0, 1].

        The image must not be changed. Nobody there: N is 0.
        """
        ...


def checked_detections(found: Any, size_wh: tuple[int, int], name: str) -> Detections:
    """What a detector returned, as float64 arrays; boxes without an area inside of the image are left out.

    Raises
    ------
    ShapeError
        Something else than boxes and as many scores in [0, 1]; the message begins with ``name``.
    """
    try:
        boxes, scores = found
        boxes = box_tools.as_boxes(boxes)
        scores = np.asarray(scores, np.float64)
    except (TypeError, ValueError) as error:  # ShapeError is a ValueError
        raise ShapeError(f"{name}: a detector must return boxes (N, 4) and scores (N,): {error}") from error
    if scores.shape != boxes.shape[:1] or not ((scores >= 0) & (scores <= 1)).all():
        span = f"{scores.min():g} ... {scores.max():g}" if scores.size else "none"
        raise ShapeError(
            f"{name}: a detector must return one score in [0, 1] for each of its {len(boxes)} boxes, "
            f"got shape {scores.shape}, {span}"
        )
    seen = box_tools.area(box_tools.clip(boxes, size_wh)) > 0
    return Detections(boxes[seen], scores[seen])


def checked_sure_box(detector: Any, name: str) -> float | None:
    """A detector's ``sure_box``, None where it has none; `ShapeError` on another thing than a number in (0, 1]."""
    value = getattr(detector, "sure_box", None)
    if value is not None and not (isinstance(value, int | float | np.number) and 0 < value <= 1):
        raise ShapeError(f"{name}: a detector's sure_box must be None, or above 0 and at most 1, got {value!r}")
    return None if value is None else float(value)


def from_callable(
    function: Callable[[np.ndarray], Any],
    *,
    person_label: int | str | None = None,
    min_score: float = 0.5,
    max_iou: float | None = None,
) -> Detector:
    """A `Detector` out of a function of an (H, W, 3) uint8 RGB image that finds all sorts of things.

    Parameters
    ----------
    function : returns ``(boxes, scores)``, ``(boxes, scores, labels)``, or a mapping with these names (torchvision's);
        arrays, lists or torch tensors, boxes (N, 4) as x0, y0, x1, y1 in pixels of the image.
    person_label : which of the labels means a person (COCO's 1 in torchvision); None: every box is one.
    min_score : boxes below it are left out.
    max_iou : of boxes that overlap by more, only the best is kept; None where the detector has seen to that itself.

    Raises
    ------
    VitruvianError
        When it is called: ``person_label`` is given, but the function returns no labels.
    ShapeError
        When it is called: another kind of result.
    """

    def detect(image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        found = function(image)
        parts = [found.get(key) for key in ("boxes", "scores", "labels")] if isinstance(found, Mapping) else list(found)
        arrays = [_array(part) for part in parts if part is not None]
        if len(arrays) < 2 or len(arrays[0]) != len(arrays[1]):
            raise ShapeError(
                "expected boxes (N, 4), scores (N,) and perhaps labels (N,) from the detector, "
                f"got arrays of {[a.shape for a in arrays]}"
            )
        boxes, scores = arrays[0].reshape(-1, 4), arrays[1]
        keep = scores >= min_score
        if person_label is not None:
            if len(arrays) < 3:
                raise VitruvianError(f"person_label is {person_label!r}, but the detector returns no labels")
            keep &= arrays[2] == person_label
        return suppressed(boxes[keep], scores[keep], max_iou)

    return detect


def _array(part: Any) -> np.ndarray:
    """Of an array, a list, or a torch tensor on any device."""
    return np.asarray(part.detach().cpu().numpy() if hasattr(part, "detach") else part)


def suppressed(boxes: np.ndarray, scores: np.ndarray, max_iou: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The 1000 best of boxes (N, 4) with scores (N,), the best first, and of those that overlap by more than
    ``max_iou`` only the best; None keeps them all."""
    best = np.argsort(-scores, kind="stable")[:_MOST]
    boxes, scores = boxes[best], scores[best]
    if max_iou is not None:
        kept = box_nms(boxes, scores, max_iou)
        boxes, scores = boxes[kept], scores[kept]
    return boxes, scores


# --- ONNX files ------------------------------------------------------------------------------------------------------

_TYPES: dict[str, type[np.generic]] = {
    "tensor(uint8)": np.uint8,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
"""Of inputs that do not take float32."""


class OnnxDetector:
    """A detector in an ONNX file, on ONNX Runtime. It is a `Detector`.

    Parameters
    ----------
    path : the file. Its first input takes one image, (1, 3, h, w), (1, h, w, 3) or either without the 1. uint8 inputs
        get pixels, float inputs get them normalised by ``preprocess``. Further inputs may be the size of the image
        (RT-DETR and its kin: (1, 2), "size" in the name) or a mask of its pixels (DETR: (1, h, w), "mask" in it).
    layout : how its outputs are read: a name in `LAYOUTS`, or a function of your own (see `Layout`).
    person : index of the class, or the label, that means a person.
    preprocess : size, colours, mean and fill of the letterbox, `INPUTS` has the usual ones; a size fixed in the file
        wins over its ``size_wh``.
    min_score : boxes below it are left out.
    max_iou : of boxes that overlap by more, only the best is kept; None: the file does that itself.
    first_centre : where the detector puts the centre of its input's first pixel: 0.5 (edges at integers: YOLO,
        torchvision and most others), or 0 as in this package.
    threads : CPU threads; None leaves the choice to ONNX Runtime.

    Raises
    ------
    VitruvianError
        An unknown layout.
    WeightsError
        A file that cannot be read, an input that is no image, further ones that nothing is known to give to, or (when
        called) outputs that do not fit the layout.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        layout: str | Layout = "yolo_transposed",
        *,
        person: int = 0,
        preprocess: Preprocess = LETTERBOX,
        min_score: float = 0.5,
        max_iou: float | None = 0.65,
        first_centre: float = 0.5,
        threads: int | None = None,
    ) -> None:
        if isinstance(layout, str) and layout not in LAYOUTS:
            raise VitruvianError(f"unknown layout '{layout}'; known: {', '.join(LAYOUTS)}, or a function of your own")
        self._read: Layout = LAYOUTS[layout] if isinstance(layout, str) else layout
        self._relative = isinstance(layout, str) and layout in RELATIVE
        self._person, self.min_score, self._max_iou, self._shift = person, min_score, max_iou, first_centre
        self._path = Path(path)
        self._session = open_session(self._path, threads, "detector")
        taken, *others = self._session.get_inputs()
        self._input, shape = taken.name, list(taken.shape)
        self._batched, self._type = len(shape) == 4, _TYPES.get(taken.type, np.float32)
        image = shape[-3:]
        if len(shape) not in (3, 4) or 3 not in (image[0], image[-1]):
            raise WeightsError(f"{path}: the first input must be an image with 3 channels, got the shape {shape}")
        self._channels_first = image[0] == 3
        height, width = image[1:] if self._channels_first else image[:2]
        if isinstance(width, int) and isinstance(height, int):
            preprocess = replace(preprocess, size_wh=(width, height))
        self.preprocess = preprocess
        self._others = {other.name: _further(other, preprocess.size_wh, self._path) for other in others}

    def __call__(self, image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`."""
        whole = box_tools.whole_image((image.shape[1], image.shape[0]))
        crop, frame_to_input = self.preprocess.crop(image, whole)
        try:
            outputs = self._session.run(None, {self._input: self._as_input(crop), **self._others})
        except Exception as error:  # ONNX Runtime raises its own, undocumented types
            raise WeightsError(f"{self._path}: the detector fails on an image: {error}") from error
        arrays = [np.asarray(output) for output in outputs]
        if self._relative:
            names = [output.name for output in self._session.get_outputs()]
            arrays = [arrays[i] for i in sorted(range(len(arrays)), key=lambda i: names[i] not in BOX_OUTPUTS)]
        boxes, scores = self._read(arrays, self._person)
        if self._relative:
            boxes = boxes * np.tile(self.preprocess.size_wh, 2)
        keep = (scores >= self.min_score) & np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        corners = boxes[keep].astype(np.float64).reshape(-1, 2, 2) - self._shift
        in_photo = frame_to_input.inverse().apply(corners).reshape(-1, 4)
        found, sure = suppressed(in_photo, np.clip(scores[keep], 0, 1), self._max_iou)
        return box_tools.clip(found, (image.shape[1], image.shape[0])), sure

    def _as_input(self, crop: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> what the file takes."""
        if self._type == np.uint8:
            made = crop.transpose(2, 0, 1)[None] if self._channels_first else crop[None]
        else:
            made = self.preprocess.normalise(crop[None]).astype(self._type, copy=False)
            made = made if self._channels_first else made.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(made if self._batched else made[0])


def _further(given: Any, size_wh: Sequence[int], path: Path) -> np.ndarray:
    """What an input beside the image gets: the size (1, 2) as width and height, or a mask (1, h, w) that is 1."""
    kind, shape = _TYPES.get(given.type, np.float32), list(given.shape)
    if len(shape) == 2 and shape[1] == 2 and "size" in given.name:
        return np.array([size_wh], kind)
    if len(shape) == 3 and "mask" in given.name:
        height, width = (n if isinstance(n, int) else own for n, own in zip(shape[1:], size_wh[::-1], strict=True))
        return np.ones((1, height, width), kind)
    raise WeightsError(
        f"{path}: nothing is known to give to its input '{given.name}' {shape}; beside the image there may be its size "
        "(1, 2) or a mask of its pixels (1, h, w)"
    )
