"""Person masks of people whose boxes are known: `MaskFinder`, a network beside (or the same as) that of the joints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType

import numpy as np

from ..codecs import PixelsCodec
from ..errors import ShapeError, WeightsError
from ..geometry import Affine
from ..preprocess import Preprocess
from ..transforms import warp
from ..types import Poses
from ..weights.card import Card
from ..weights.zoo import find_weights
from .backends import Backend, load_backend
from .limit import best_limit, recentred
from .pieces import without_shreds

MASK_MODEL = "vitruvian-mask"
"""The shipped model of masks."""
_SHRED = 0.05
_NEARER = 0.91
"""How much smaller the crop of the flip test's second look is; chosen on validation people."""


def load_masks(
    name: str | os.PathLike = MASK_MODEL, backend: str | None = None, threads: int | None = None
) -> MaskFinder:
    """Load a model of person masks.

    Parameters
    ----------
    name : a shipped model's name, an ``.onnx`` (or ``.onnx.gz``) or ``.safetensors`` file, or a run's folder.
    backend, threads : as of `load`.

    Raises
    ------
    WeightsError
        No such model, a file that cannot be read, or one without masks.
    """
    return MaskFinder(load_backend(find_weights(name), backend, threads))


def has_masks(card: Card) -> bool:
    """Whether a model of this card says masks."""
    return isinstance(card.codec, PixelsCodec) and "mask" in card.codec.heads


class MaskFinder:
    """Masks for the people of an image. Use it as a context manager, or call `close`.

    Parameters
    ----------
    backend : the network; it may be that of a `Predictor`, whose codec has the head ``mask`` too.

    Raises
    ------
    WeightsError
        A network without masks.
    """

    def __init__(self, backend: Backend) -> None:
        if not has_masks(backend.card):
            raise WeightsError(
                f"'{backend.card.name}' finds no masks (its codec is {backend.card.codec}); "
                f"expected a model such as '{MASK_MODEL}', whose codec has the head 'mask'"
            )
        self._backend = backend
        self.card = backend.card

    def __enter__(self) -> MaskFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the network's memory."""
        self._backend.close()

    def __call__(self, image: np.ndarray, poses: Poses, flip: bool = False, batch: int = 8) -> Poses:
        """The same people with ``masks``: (N, H, W) bool, true where that is expected to give the largest Dice.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB, the image of ``poses``.
        flip : look twice, the second time mirrored and from a little nearer, and take the mean.
        batch : people that go through the network together.
        """
        return replace(poses, masks=self.shares(image, poses.boxes, flip, batch) >= 128)

    def shares(self, image: np.ndarray, boxes_xyxy: np.ndarray, flip: bool = False, batch: int = 8) -> np.ndarray:
        """(N, H, W) uint8, 255 for certain: how sure it is that a pixel is the person of each box (N, 4).

        They are moved so that each person's best limit (`limit.best_limit`) is 1/2, so 128 or more is the mask; of
        somebody clearly seen it is near that anyway. Pieces of less than a twentieth of the largest one's area are
        taken to be nothing. Outside of a person's crop, which is the box and a margin, it is 0.
        """
        if batch < 1:
            raise ShapeError(f"batch must be 1 or more people, got {batch}")
        found = np.zeros((len(boxes_xyxy), *image.shape[:2]), np.uint8)
        for start in range(0, len(boxes_xyxy), batch):
            part = boxes_xyxy[start : start + batch]
            looks = self._look(image, part, self.card.preprocess)
            if flip:
                looks = map(_mean, looks, self._look(image, part, self._nearer(), mirrored=True))
            for i, (share, frame_to_map) in enumerate(looks):
                share = without_shreds(recentred(share, best_limit(share)), _SHRED)
                found[start + i] = _moved(share, frame_to_map.inverse(), (image.shape[1], image.shape[0]))
        return found

    def run_crops(self, crops: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 crops in the card's size -> (B, h / stride, w / stride) probabilities of the person."""
        codec = self.card.codec
        assert isinstance(codec, PixelsCodec)  # by the check of the constructor
        return codec.mask(self._backend.run(crops))

    def _look(
        self, image: np.ndarray, boxes_xyxy: np.ndarray, preprocess: Preprocess, mirrored: bool = False
    ) -> Iterator[tuple[np.ndarray, Affine]]:
        """For each box what is found in its crop, or in the mirrored crop mirrored back, and the map to it."""
        crops, maps = zip(*(preprocess.crop(image, box.astype(np.float64)) for box in boxes_xyxy), strict=True)
        turn = slice(None, None, -1 if mirrored else 1)
        shares = self.run_crops(np.ascontiguousarray(np.stack(crops)[:, :, turn]))[:, :, turn]
        for share, frame_to_input in zip(shares, maps, strict=True):
            yield share, Affine.resize(preprocess.size_wh, share.shape[::-1]) @ frame_to_input

    def _nearer(self) -> Preprocess:
        """The flip test's crop: with a smaller margin, where there is one."""
        padding = self.card.preprocess.padding
        return replace(self.card.preprocess, padding=min(padding, max(1.0, _NEARER * padding)))


def _mean(first: tuple[np.ndarray, Affine], second: tuple[np.ndarray, Affine]) -> tuple[np.ndarray, Affine]:
    """The mean of two looks in the frame of the first; what the second does not see is as the first has it."""
    (share, frame_to_map), (other, frame_to_other) = first, second
    to_first = frame_to_map @ frame_to_other.inverse()
    seen, said = (_moved(x, to_first, share.shape[::-1]) / 255 for x in (np.ones_like(other), other))
    return (share + said) / (1 + seen), frame_to_map


def _moved(share: np.ndarray, to_frame: Affine, size_wh: tuple[int, ...]) -> np.ndarray:
    """A map of [0, 1] in another frame of (width, height), as uint8; 0 where it ends."""
    return warp(np.rint(share * 255).astype(np.uint8), to_frame, (size_wh[0], size_wh[1]))
