"""`PersonDetector`: this project's own person detector, and `load_detector`.

Parts of a photo are looked at for the small people in it, as in Akyon et al., ICIP 2022, "Slicing Aided Hyper Inference
and Fine-tuning for Small Object Detection"; what a part may say, and of which photos, is our own.
"""

from __future__ import annotations

import os

import numpy as np

from ..codecs import BoxesCodec
from ..errors import ShapeError, WeightsError
from ..geometry import boxes as box_tools
from ..weights.card import Card
from ..weights.zoo import DEFAULT_DETECTOR, find_weights
from .backends import Backend, load_backend
from .detectors import suppressed

_OVERLAP = 0.3  # of two neighbouring parts, of a part's side
_LARGE = 0.5
_EDGE = 0.02


class PersonDetector:
    """A loaded detector: an (H, W, 3) uint8 RGB image in, people's boxes and scores out. It is a `Detector`.

    The whole image is letterboxed to the network's input. Where nobody in it takes up half of its longer side, two or
    four overlapping parts of it are looked at as well, for people up to half as tall as a part: they are nearly twice
    as large for the network then. People shorter than about a fiftieth of the longer side are not found; cut large
    photos of crowds into parts of your own.

    Parameters
    ----------
    backend : the network, whose card has a `BoxesCodec`.
    min_score : boxes below it are left out; None for the card's.
    max_iou : of boxes that overlap by more, only the best is kept; None for the card's.
    once : look at the whole image alone, which takes a third or a fifth of the time where nobody is large.

    Raises
    ------
    WeightsError
        A network that finds something else.
    ShapeError
        ``min_score`` or ``max_iou`` outside of 0..1.
    """

    def __init__(
        self, backend: Backend, min_score: float | None = None, max_iou: float | None = None, once: bool = False
    ) -> None:
        codec = backend.card.codec
        if not isinstance(codec, BoxesCodec):
            raise WeightsError(
                f"'{backend.card.name}' is no person detector: it finds {codec.kind}; "
                f"the shipped one is '{DEFAULT_DETECTOR}'"
            )
        self.card: Card = backend.card
        self.min_score = codec.min_score if min_score is None else min_score
        self.max_iou = codec.max_iou if max_iou is None else max_iou
        if not (0 <= self.min_score <= 1 and 0 <= self.max_iou <= 1):
            raise ShapeError(f"min_score and max_iou must lie in 0..1, got {self.min_score} and {self.max_iou}")
        self.once = once
        self._codec, self._backend = codec, backend

    @property
    def sure(self) -> float:
        """The score of a box from which on it needs no more of a person's joints than any; see `Selection.sure_box`."""
        return self._codec.sure

    def __call__(self, image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`; the best box first."""
        size_wh = (image.shape[1], image.shape[0])
        boxes, scores = self._within(image, box_tools.whole_image(size_wh)[None])[0]
        if self._wants_parts(size_wh, boxes[scores >= max(self.min_score, self._codec.min_score)]):
            areas = parts(size_wh)
            found = zip(self._within(image, areas), areas, strict=True)
            of_parts = [_own(*each, part, size_wh) for each, part in found]
            boxes = np.concatenate([boxes, *(each for each, _ in of_parts)])
            scores = np.concatenate([scores, *(each for _, each in of_parts)])
        return suppressed(boxes, scores, self.max_iou)

    def _within(self, image: np.ndarray, areas: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes in pixels of the image, and scores, that are found in each of its areas (N, 4)."""
        size_wh = (image.shape[1], image.shape[0])
        crops, maps = zip(*(self.card.preprocess.crop(image, area) for area in areas), strict=True)
        found = []
        decoded = self._codec.decode_boxes(self._backend.run(np.stack(crops)), self.min_score)
        for (boxes, scores), frame_to_input in zip(decoded, maps, strict=True):
            corners = frame_to_input.inverse().apply(boxes.astype(np.float64).reshape(-1, 2, 2))
            found.append((box_tools.clip(corners.reshape(-1, 4), size_wh), scores.astype(np.float64)))
        return found

    def _wants_parts(self, size_wh: tuple[int, int], boxes: np.ndarray) -> bool:
        """Whether there is more to see from nearer, and nobody large: whoever is small in a portrait hardly counts."""
        if self.once or max(size_wh) <= max(self.card.preprocess.size_wh):
            return False
        return bool((_longer(boxes) < _LARGE * max(size_wh)).all())

    def close(self) -> None:
        """Release the backend."""
        self._backend.close()


def load_detector(
    name: str | os.PathLike = "default",
    backend: str | None = None,
    threads: int | None = None,
    min_score: float | None = None,
    once: bool = False,
) -> PersonDetector:
    """Load a person detector of this project: the shipped one, or one that you trained.

    Detectors of other makers: `OnnxDetector` and `from_callable`.

    Parameters
    ----------
    name : ``"default"``, a shipped detector's name, an ``.onnx`` (or ``.onnx.gz``) or ``.safetensors`` file, or a
        training run's folder.
    backend, threads : as of `load`.
    min_score : boxes below it are left out; None for what the model's card says.
    once : as of `PersonDetector`.

    Raises
    ------
    WeightsError
        No such model, a file that cannot be read, or one that finds something else than people's boxes.
    """
    path = find_weights(DEFAULT_DETECTOR if os.fspath(name) == "default" else name)
    return PersonDetector(load_backend(path, backend, threads), min_score, once=once)


def parts(size_wh: tuple[int, int]) -> np.ndarray:
    """(N, 4) squares that cover an image and overlap; two along its longer side."""
    side = max(size_wh) / (2 - _OVERLAP)
    starts = [np.linspace(-0.5, max(length - side, 0) - 0.5, 1 if length <= side else 2) for length in size_wh]
    return np.array([[x, y, x + side, y + side] for y in starts[1] for x in starts[0]])


def _own(
    boxes: np.ndarray, scores: np.ndarray, part: np.ndarray, size_wh: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Of what was found in a part what is its to say: nobody large, and nobody who may go on beyond it."""
    side = part[2] - part[0]
    ends = np.array([-0.5, -0.5, size_wh[0] - 0.5, size_wh[1] - 0.5])
    inner = np.concatenate([part[:2] > ends[:2] + 0.5, part[2:] < ends[2:] - 0.5])  # the image goes on there
    near = np.abs(boxes - part) < _EDGE * side
    beyond = np.concatenate([boxes[:, :2] < part[:2], boxes[:, 2:] > part[2:]], axis=1)
    whole = ~((near | beyond) & inner).any(axis=1)
    keep = whole & (_longer(boxes) <= _LARGE * side)
    return boxes[keep], scores[keep]


def _longer(boxes: np.ndarray) -> np.ndarray:
    """(N,) longer sides."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
