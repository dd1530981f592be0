"""`PersonDetector`: this project's own person detector, and `load_detector`."""

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


class PersonDetector:
    """A loaded detector: an (H, W, 3) uint8 RGB image in, people's boxes and scores out. It is a `Detector`.

    The whole image is letterboxed to the network's input, so people shorter than about a thirtieth of its longer side
    are not found; cut large photos of crowds into parts.

    Parameters
    ----------
    backend : the network, whose card has a `BoxesCodec`.
    min_score : boxes below it are left out; None for the card's.
    max_iou : of boxes that overlap by more, only the best is kept; None for the card's.

    Raises
    ------
    WeightsError
        A network that finds something else.
    ShapeError
        ``min_score`` or ``max_iou`` outside of 0..1.
    """

    def __init__(self, backend: Backend, min_score: float | None = None, max_iou: float | None = None) -> None:
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
        self._codec, self._backend = codec, backend

    def __call__(self, image: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector`; the best box first."""
        size_wh = (image.shape[1], image.shape[0])
        crop, frame_to_input = self.card.preprocess.crop(image, box_tools.whole_image(size_wh))
        ((boxes, scores),) = self._codec.decode_boxes(self._backend.run(crop[None]), self.min_score)
        corners = boxes.astype(np.float64).reshape(-1, 2, 2)
        in_photo = box_tools.clip(frame_to_input.inverse().apply(corners).reshape(-1, 4), size_wh)
        return suppressed(in_photo, scores.astype(np.float64), self.max_iou)

    def close(self) -> None:
        """Release the backend."""
        self._backend.close()


def load_detector(
    name: str | os.PathLike = "default",
    backend: str | None = None,
    threads: int | None = None,
    min_score: float | None = None,
) -> PersonDetector:
    """Load a person detector of this project: the shipped one, or one that you trained.

    Detectors of other makers: `OnnxDetector` and `from_callable`.

    Parameters
    ----------
    name : ``"default"``, a shipped detector's name, an ``.onnx`` or ``.safetensors`` file, or a training run's folder.
    backend, threads : as of `load`.
    min_score : boxes below it are left out; None for what the model's card says.

    Raises
    ------
    WeightsError
        No such model, a file that cannot be read, or one that finds something else than people's boxes.
    """
    path = find_weights(DEFAULT_DETECTOR if os.fspath(name) == "default" else name)
    return PersonDetector(load_backend(path, backend, threads), min_score)
