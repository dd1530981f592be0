"""`PersonDetector`: this project's own person detector, and `load_detector`."""

from __future__ import annotations

import os

import numpy as np

from ..codecs import BoxesCodec
from ..errors import NoCardError, ShapeError, WeightsError
from ..geometry import boxes as box_tools
from ..weights.card import Card
from ..weights.zoo import DEFAULT_DETECTOR, find_weights
from .backends import Backend, load_backend
from .detectors import suppressed
from .parts import LARGE, longer_sides, parts_xyxy, said_by


class PersonDetector:
    """A loaded detector: an (H, W, 3) uint8 RGB image in, people's boxes and scores out. It is a `Detector`.

    The whole image is letterboxed to the network's input; people shorter than about a thirtieth of its longer side are
    not found. Where nobody takes up half of that side, overlapping parts of a photo that is larger than the input are
    looked at as well, for people down to a fiftieth (`parts`). Cut large photos of crowds into parts of your own.

    Parameters
    ----------
    backend : the network, whose card has a `BoxesCodec`.
    min_score : boxes below it are left out; None for the card's.
    max_iou : of boxes that overlap by more, only the best is kept; None for the card's.
    once : look at the whole image alone, which takes a half to a fifth of the time where nobody is large.

    Attributes
    ----------
    sure_box : the score in (0, 1] from which on its boxes are as good as any, or None; see `Selection.sure_box`.

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
    def sure_box(self) -> float | None:
        return self._codec.sure_box

    def __call__(self, image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`; the best box first."""
        size_wh = (image.shape[1], image.shape[0])
        ((boxes, scores),) = self._within(image, box_tools.whole_image(size_wh)[None])
        if self._wants_parts(size_wh, boxes, scores):
            parts = parts_xyxy(size_wh, self.card.preprocess.size_wh)
            for part, (near, near_scores) in zip(parts, self._within(image, parts), strict=True):
                own = said_by(part, near, size_wh)
                boxes, scores = np.concatenate([boxes, near[own]]), np.concatenate([scores, near_scores[own]])
        return suppressed(boxes, scores, self.max_iou)

    def _within(self, image: np.ndarray, places_xyxy: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Boxes (M, 4) in pixels of the image, and scores (M,), that are found in each of its places (N, 4)."""
        size_wh = (image.shape[1], image.shape[0])
        crops, maps = zip(*(self.card.preprocess.crop(image, place) for place in places_xyxy), strict=True)
        decoded = self._codec.decode_boxes(self._backend.run(np.stack(crops)), self.min_score)
        found = []
        for (boxes, scores), frame_to_input in zip(decoded, maps, strict=True):
            corners = frame_to_input.inverse().apply(boxes.astype(np.float64).reshape(-1, 2, 2))
            found.append((box_tools.clip(corners.reshape(-1, 4), size_wh), scores.astype(np.float64)))
        return found

    def _wants_parts(self, size_wh: tuple[int, int], boxes: np.ndarray, scores: np.ndarray) -> bool:
        """Whether there is more to see from nearer, and nobody large: whoever is small in a portrait hardly counts."""
        if self.once or (np.array(size_wh) <= self.card.preprocess.size_wh).all():
            return False
        # Boxes below the network's own threshold, which some ask for, are mostly nobody.
        likely = boxes[scores >= max(self.min_score, self._codec.min_score)]
        return bool((longer_sides(likely) < LARGE * max(size_wh)).all())

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
    try:
        loaded = load_backend(path, backend, threads)
    except NoCardError as error:
        raise WeightsError(
            f"{error}. For a detector of another maker say how its outputs are read: --detector-layout, or OnnxDetector"
        ) from error
    return PersonDetector(loaded, min_score, once=once)
