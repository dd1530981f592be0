"""`Preprocess`: how a person's box becomes a network's input. One object for train, predict, export and serve.

It travels inside every weight file, so that size, colour order, mean and padding are never typed twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .errors import ShapeError, WeightsError
from .geometry import Affine, boxes
from .transforms.warp import warp


@dataclass(frozen=True)
class Preprocess:
    """Box -> crop -> normalised input.

    Attributes
    ----------
    size_wh : the input's (width, height) in pixels.
    padding : factor by which the box grows after it was brought to the input's aspect ratio.
    mean, std : one a channel, in the order of ``colour``, on the scale 0..255; the network sees (value - mean) / std.
        Exported graphs do this inside, and take uint8.
    fill : value of pixels outside the photo, 0..255.
    colour : the order of channels; always ``"rgb"`` for models of this project, named because others differ.
    """

    size_wh: tuple[int, int] = (192, 256)
    padding: float = 1.25
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    fill: int = 0
    colour: str = "rgb"

    def __post_init__(self) -> None:
        if len(self.size_wh) != 2 or min(self.size_wh) < 8:
            raise ShapeError(f"size_wh must be (width, height) of at least 8 pixels each, got {self.size_wh}")
        if len(self.mean) != 3 or len(self.std) != 3 or not np.isfinite([*self.mean, *self.std]).all():
            raise ShapeError(f"mean and std need three finite numbers each, got {self.mean} and {self.std}")
        positive = self.padding > 0 and min(self.std) > 0  # also refuses NaN
        if not positive or not 0 <= self.fill <= 255 or self.colour not in ("rgb", "bgr"):
            raise ShapeError(f"padding and std must be positive, fill in 0..255, colour rgb or bgr; got {self}")

    def frame_to_input(self, box_xyxy: np.ndarray) -> Affine:
        """The map from photo to input pixels for a person's box (4,)."""
        aspect = self.size_wh[0] / self.size_wh[1]
        return Affine.box_to_frame(boxes.expand_to_aspect(box_xyxy, aspect, self.padding), self.size_wh)

    def crop(self, image: np.ndarray, box_xyxy: np.ndarray) -> tuple[np.ndarray, Affine]:
        """(H, W, 3) uint8 RGB photo and a box -> ((h, w, 3) uint8 in this model's colour order, the map used)."""
        frame_to_input = self.frame_to_input(box_xyxy)
        crop = warp(image, frame_to_input, self.size_wh, self.fill)
        return (np.ascontiguousarray(crop[:, :, ::-1]) if self.colour == "bgr" else crop), frame_to_input

    def normalise(self, crops: np.ndarray) -> np.ndarray:
        """(B, h, w, 3) uint8 -> (B, 3, h, w) float32, contiguous: what a torch network takes."""
        if crops.ndim != 4 or crops.shape[3] != 3:
            raise ShapeError(f"crops must be (B, h, w, 3), got {crops.shape}")
        batch, height, width, _ = crops.shape
        out = np.empty((batch, 3, height, width), np.float32)
        for c in range(3):  # plane by plane: several times faster than broadcasting over the last axis
            np.multiply(crops[..., c], np.float32(1 / self.std[c]), out=out[:, c], casting="unsafe")
            out[:, c] -= np.float32(self.mean[c] / self.std[c])
        return out

    def to_dict(self) -> dict:
        """Plain data for a card."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict) -> Preprocess:
        """Rebuild from `to_dict`'s output; unknown keys are refused, since they would change what the network sees."""
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            return cls(**fields)
        except TypeError as error:
            raise WeightsError(f"not a preprocessing record: {error}; got the keys {sorted(data)}") from error
