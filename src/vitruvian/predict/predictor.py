"""`Predictor`: photos and boxes in, `Poses` out. One pipeline for one image, a list, and an endless stream.

Photos are decoded once, ahead of time in a background thread; people are cropped into batches that run across photos;
a batch is decoded in one call, and each joint goes back to its photo through the inverse of the crop's own `Affine`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from ..codecs import BoxesCodec
from ..errors import ShapeError, VitruvianError, WeightsError
from ..geometry import Affine
from ..skeletons import Skeleton
from ..types import PRESENT_ABOVE, Outputs, Poses
from ..weights.card import Card
from ..weights.zoo import find_weights
from .backends import Backend, load_backend
from .detectors import Detector
from .flip import flip_way, presence_of, shifted_right
from .loading import Loaded, boxes_per_image, load_all
from .person_detector import PersonDetector, load_detector
from .prefetch import prefetch as run_ahead
from .select import Selection

_BOTH_SURE = 0.2
"""The score from which on both pictures' joints are averaged, system 3's."""

_MAX_BYTES = 256 * 2**20
"""Decoded photos that may wait for the network, and again of those that wait for their batch to fill."""


def load(
    name: str | os.PathLike = "default",
    backend: str | None = None,
    threads: int | None = None,
    detector: Detector | str | os.PathLike | None = "default",
) -> Predictor:
    """Load a model.

    Parameters
    ----------
    name : ``"default"``, a shipped model's name, an ``.onnx`` (or ``.onnx.gz``) or ``.safetensors`` file, or a
        training run's folder.
    backend : ``"onnxruntime"``, ``"openvino"`` or ``"torch"``; by default ONNX Runtime for ``.onnx`` and torch for
        ``.safetensors``.
    threads : CPU threads of the network; None leaves the choice to the backend.
    detector : who finds people in images that come without boxes: a `Detector`, or what `load_detector` takes, loaded
        when it is first needed. None: such an image is taken for one person.

    Raises
    ------
    WeightsError
        No such model, a file that cannot be read, or one that finds people's boxes instead of their joints.
    MissingExtraError
        The backend's library is not installed.
    """
    return Predictor(load_backend(find_weights(name), backend, threads), detector, threads)


@dataclass(frozen=True, eq=False)
class Result:
    """What became of one image of a stream: poses, or the error that kept it from having any.

    Attributes
    ----------
    index : position in the stream, from 0.
    path : the image's file, or None for an array.
    poses : the people found, or None where ``error`` says why not.
    error : an image that cannot be decoded, or boxes that do not fit it; else None.
    image : (H, W, 3) uint8 RGB as decoded, where the stream was asked to keep images.
    dropped : boxes with scores of which `Selection` kept nobody: found twice, or without a person's joints.
    """

    index: int
    path: Path | None
    poses: Poses | None = None
    error: VitruvianError | None = None
    image: np.ndarray | None = None
    dropped: int = 0


class Predictor:
    """A loaded model. Use it as a context manager, or call `close`, to release the runtime's memory early.

    Calls from several threads at a time are fine with the ONNX Runtime backend.

    Parameters
    ----------
    backend : the network.
    detector, threads : as of `load`.

    Raises
    ------
    WeightsError
        The network is a person detector.
    """

    def __init__(
        self,
        backend: Backend,
        detector: Detector | str | os.PathLike | None = None,
        threads: int | None = None,
    ) -> None:
        if isinstance(backend.card.codec, BoxesCodec):
            raise WeightsError(
                f"'{backend.card.name}' finds people's boxes, not their joints; "
                f"person detectors are for --detector, in Python load(..., detector='{backend.card.name}')"
            )
        self._backend: Backend | None = backend
        self._detector, self._threads = detector, threads
        self._own: PersonDetector | None = None
        self._lock = threading.Lock()
        self.card: Card = backend.card
        self.description: str = backend.description

    @property
    def skeleton(self) -> Skeleton:
        """The joints of the results."""
        return self.card.skeleton

    @property
    def backend(self) -> Backend:
        """The runtime; `VitruvianError` after `close`."""
        if self._backend is None:
            raise VitruvianError("this predictor was closed; load the model again")
        return self._backend

    def __repr__(self) -> str:
        return f"<Predictor {self.card.name}: {len(self.skeleton)} joints, {self.description}>"

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def detector(self) -> Detector | None:
        """Who finds people in images without boxes, or None; loaded now if it was not yet.

        `VitruvianError` after `close`.
        """
        with self._lock:
            self.backend  # noqa: B018  (says that the predictor was closed)
            if isinstance(self._detector, str | os.PathLike):
                self._detector = self._own = load_detector(self._detector, threads=self._threads)
            return self._detector

    def close(self) -> None:
        """Release the backend, and the detector where it was loaded here; closing twice is fine."""
        with self._lock:  # or a detector that is being loaded would never be closed
            if self._backend is not None:
                self._backend.close()
                self._backend = None
            if self._own is not None:
                self._own.close()
                self._own = None

    @overload
    def predict(
        self,
        source: list[Any] | tuple[Any, ...],
        boxes: Any = None,
        flip: bool | str = False,
        batch: int = 8,
        select: Selection | None = Selection(),
    ) -> list[Poses]: ...

    @overload
    def predict(
        self,
        source: Any,
        boxes: Any = None,
        flip: bool | str = False,
        batch: int = 8,
        select: Selection | None = Selection(),
    ) -> Poses: ...

    def predict(
        self,
        source: Any,
        boxes: Any = None,
        flip: bool | str = False,
        batch: int = 8,
        select: Selection | None = Selection(),
    ) -> Poses | list[Poses]:
        """Find joints in one image or in a list of images.

        Parameters
        ----------
        source : a path, an (H, W, 3) uint8 RGB array (see `vitruvian.data.as_image` for what else passes), a PIL
            image, or a list of these.
        boxes : (N, 4) float, x0, y0, x1, y1 in pixels, one a person; for a list of images a list of such arrays, of
            the same length. None: the predictor's own detector looks for people, and may find nobody; without one the
            whole image is taken for one person. The result's ``boxes_from`` says so. An empty array gives an empty
            result. Or boxes with scores (`Detections`), or a `Detector` that is asked for them, one for all images.
        flip : also look at the mirrored crops: better by about a point, and twice the time. True or ``"maps"``
            averages what the network says; ``"coordinates"`` averages positions, of joints that score 0.2 or more in
            both pictures, and leaves the others and all scores as they are in the plain one (as system 3 does).
            Presence is averaged in any case.
            ``"maps_shifted"`` is system 1's legacy of ``"maps"``, for weights trained with another pixel rule than
            ours: heatmaps alone, and those of the mirrored picture are moved a pixel to the right before averaging.
        batch : how many people go through the network together.
        select : what is done with people from boxes that have scores: by default joints above 0.2 make up a person's
            score, of two people in the same pose and place one is dropped, and so is what a detector took for a person
            without finding a person's joints in it. None: as many people as boxes. People in boxes without scores are
            always as many as these, in their order.

        Returns
        -------
        `Poses`, or a list of them for a list.

        Raises
        ------
        ImageError
            An image that cannot be decoded (`stream` goes on to the next one instead).
        ShapeError
            Arrays or boxes of another shape; a box without area or entirely outside of its image, by its number.
        VitruvianError
            Another word for ``flip``, or ``"maps_shifted"`` for a model without heatmaps.
        """
        many = isinstance(source, list | tuple)
        sources = list(source) if many else [source]
        each = boxes_per_image(boxes, len(sources)) if many else [boxes]
        jobs = zip(sources, (self.detector if one is None else one for one in each), strict=True)
        found: list[Poses] = []
        for result in self._pipeline(jobs, flip, batch, select, ahead=min(8, len(sources) - 1)):
            if result.error is not None:
                raise result.error
            assert result.poses is not None
            found.append(result.poses)
        return found if many else found[0]

    def stream(
        self,
        sources: Iterable[Any],
        boxes: Iterable[Any] | None = None,
        flip: bool | str = False,
        batch: int = 8,
        prefetch: int = 8,
        keep_images: bool = False,
        select: Selection | None = Selection(),
    ) -> Iterator[Result]:
        """Find joints in any number of images in bounded memory, in order.

        An image that fails gives a `Result` with its error, and the others still get theirs.

        Parameters
        ----------
        sources : images as in `predict`; taken from a background thread as they are needed. Arrays are copied, so a
            camera may reuse its buffer.
        boxes : for each image what `predict` takes for one, as many as ``sources``; or a `Detector` for all images.
        flip, batch, select : as in `predict`.
        prefetch : how many decoded images may wait for the network (fewer when they are large); 0 for no thread.
        keep_images : put the decoded image into the result, for drawing.
        """
        if boxes is None or callable(boxes):
            pairs: Iterable[tuple[Any, Any]] = zip(sources, repeat(boxes or self.detector), strict=False)
        else:
            pairs = zip(sources, (self.detector if one is None else one for one in boxes), strict=True)
        return self._pipeline(pairs, flip, batch, select, ahead=prefetch, keep_images=keep_images, own_arrays=True)

    def run_crops(self, crops: np.ndarray, flip: bool | str = False) -> tuple[np.ndarray, np.ndarray]:
        """(B, h, w, 3) uint8 crops in the card's size -> keypoints (B, K, 2) px of the crops, scores (B, K).

        ``flip`` as in `predict`; scores by the card's calibration, if it has one.
        """
        return self._found(crops, flip)[:2]

    def _found(self, crops: np.ndarray, flip: bool | str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """`run_crops`, and the chances (B, K) of being in the picture where the model gives them."""
        codec, way = self.card.codec, flip_way(flip, self.card.codec)
        if not codec.finds_joints:  # of masks alone: people without joints, whose masks `MaskFinder` finds
            shape = (len(crops), len(self.skeleton))
            return np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.float32), None
        outputs = self.backend.run(crops)
        mirrored = None
        if way is not None:
            mirrored = codec.flip(self.backend.run(np.ascontiguousarray(crops[:, :, ::-1])), self.skeleton)
        keypoints, scores = self._decoded(outputs, mirrored, way)
        if self.card.calibration is not None:
            scores = self.card.calibration(scores)
        return keypoints, scores, presence_of(outputs, mirrored)

    def _decoded(self, outputs: Outputs, mirrored: Outputs | None, way: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints and the codec's own scores, of one look or of both."""
        codec = self.card.codec
        if mirrored is None:
            return codec.decode(outputs)
        if way == "maps_shifted":
            mirrored = shifted_right(mirrored)
        if way != "coordinates":
            return codec.decode(
                Outputs({name: (array + mirrored.arrays[name]) / 2 for name, array in outputs.arrays.items()})
            )
        keypoints, scores = codec.decode(outputs)
        other, other_scores = codec.decode(mirrored)
        sure = (scores >= _BOTH_SURE) & (other_scores >= _BOTH_SURE)
        return np.where(sure[..., None], (keypoints + other) / 2, keypoints), scores

    def _pipeline(
        self,
        jobs: Iterable[tuple[Any, Any]],
        flip: bool | str,
        batch: int,
        select: Selection | None,
        ahead: int,
        keep_images: bool = False,
        own_arrays: bool = False,
    ) -> Iterator[Result]:
        if batch < 1:
            raise ShapeError(f"batch must be 1 or more people, got {batch}")
        flip_way(flip, self.card.codec)
        self.backend  # noqa: B018  (says at once that the predictor was closed)
        loaded = run_ahead(load_all(jobs, own_arrays), ahead, lambda item: item.nbytes, _MAX_BYTES)
        return self._run(loaded, flip, batch, select, keep_images)

    def _run(
        self, loaded: Iterator[Loaded], flip: bool | str, batch: int, select: Selection | None, keep: bool
    ) -> Iterator[Result]:
        queue = _Batch(self, batch, flip)
        pending: deque[_Work] = deque()  # images whose results are still to be given out, in order
        for item in loaded:
            work = _Work(item, len(self.skeleton), self.card.codec.presence)
            pending.append(work)
            if item.image is not None:
                queue.add(work, item.image)
            if not keep:
                item.image = None
            # Images that wait for the batch to fill are bounded too: a long row of images without people must not
            # pile up behind one that has some.
            if len(pending) >= 2 * batch or sum(w.item.nbytes for w in pending) > _MAX_BYTES:
                queue.flush()
            while pending and pending[0].left == 0:
                yield pending.popleft().result(self.card, select)
            del item, work  # not to be held while the next image is awaited
        queue.flush()
        while pending:
            yield pending.popleft().result(self.card, select)


class _Work:
    """An image on its way through the network: results arrive person by person."""

    def __init__(self, item: Loaded, joints: int, presence: bool) -> None:
        self.item, self.left = item, len(item.boxes)
        self.keypoints = np.empty((self.left, joints, 2), np.float32)
        self.scores = np.empty((self.left, joints), np.float32)
        self.presence = np.empty((self.left, joints), np.float32) if presence else None

    def result(self, card: Card, select: Selection | None) -> Result:
        item = self.item
        if item.error is not None:
            return Result(item.index, item.path, error=item.error)
        poses = Poses(
            self.keypoints,
            self.scores,
            item.boxes,
            card.skeleton,
            item.size_wh,
            box_scores=item.box_scores,
            path=item.path,
            boxes_from=item.boxes_from,
            presence=self.presence,
            present_above=PRESENT_ABOVE if card.present_above is None else card.present_above,
        )
        if item.box_scores is not None and select is not None:
            if item.boxes_from == "detector":
                above = card.person_above if select.person_above is None else select.person_above
                sure = item.sure_box if select.sure_box is None else select.sure_box
                select = replace(select, person_above=above, sure_box=sure)
            poses = select(poses)
        return Result(item.index, item.path, poses, image=item.image, dropped=len(item.boxes) - len(poses))


class _Batch:
    """Crops gathered from one or more images; runs as soon as it is full."""

    def __init__(self, predictor: Predictor, size: int, flip: bool | str) -> None:
        width, height = predictor.card.preprocess.size_wh
        self._predictor, self._flip = predictor, flip
        self._crops = np.empty((size, height, width, 3), np.uint8)
        self._people: list[tuple[_Work, int]] = []
        self._maps: list[Affine] = []

    def add(self, work: _Work, image: np.ndarray) -> None:
        """Crop all people of an image (it is not needed afterwards), running the network whenever the batch is full."""
        preprocess = self._predictor.card.preprocess
        for i, box_xyxy in enumerate(work.item.boxes):
            self._crops[len(self._people)], frame_to_input = preprocess.crop(image, box_xyxy)
            self._people.append((work, i))
            self._maps.append(frame_to_input)
            if len(self._people) == len(self._crops):
                self.flush()

    def flush(self) -> None:
        if not self._people:
            return
        keypoints_input, scores, presence = self._predictor._found(self._crops[: len(self._people)], self._flip)
        for row, ((work, person), frame_to_input) in enumerate(zip(self._people, self._maps, strict=True)):
            work.keypoints[person] = frame_to_input.inverse().apply(keypoints_input[row])
            work.scores[person] = scores[row]
            if presence is not None and work.presence is not None:
                work.presence[person] = presence[row]
            work.left -= 1
        self._people.clear()
        self._maps.clear()
