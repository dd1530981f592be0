"""`SquareCrop`: a person's picture as the grid networks take it: cropped, cut out, grey, square.

Source: system 4 (Ashish R. Jha's Human3.6M project, datashines.github.io, post of 2019-02-02): the person's bounding
box is cut out, its background removed with the data set's masks, made grey, padded with zeros to a square around its
centre, and resized to 128 x 128. Those are the defaults; every step has an option with a name.

The picture is resampled once, by one `Affine` that also takes the joints along.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError, WeightsError
from ..geometry import Affine, boxes
from ..transforms.warp import warp

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow and Matlab have it
_OPTIONS = {"colour": ("grey", "rgb"), "background": ("black", "keep"), "pad": ("zero", "photo")}


@dataclass(frozen=True)
class SquareCrop:
    """Box -> square crop -> network input.

    Attributes
    ----------
    size_wh : the input's (width, height).
    colour : ``"grey"`` (one channel) or ``"rgb"``.
    background : ``"black"`` sets what the mask does not cover to 0 (a frame without a mask is refused); ``"keep"``.
    pad : beside the box within the square: ``"zero"`` or the ``"photo"`` around it.
    margin : each side of the box moves out by this share of its longer side, first.
    joints_margin : the same, for a box that is the joints' extent because the data has no other.
    """

    size_wh: tuple[int, int] = (128, 128)
    colour: str = "grey"
    background: str = "black"
    pad: str = "zero"
    margin: float = 0.0
    joints_margin: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_wh", tuple(self.size_wh))
        if len(self.size_wh) != 2 or min(self.size_wh) < 8:
            raise ShapeError(f"size_wh must be (width, height) of at least 8 pixels each, got {self.size_wh}")
        for name, known in _OPTIONS.items():
            if getattr(self, name) not in known:
                raise ShapeError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not (0 <= self.margin < 10 and 0 <= self.joints_margin < 10):
            raise ShapeError(f"margins are shares of a box's side, got {self.margin} and {self.joints_margin}")

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.colour == "grey" else 3

    def box(
        self, box_xyxy: np.ndarray | None, mask: np.ndarray | None = None, keypoints_px: np.ndarray | None = None
    ) -> np.ndarray:
        """(4,) the box to crop: the one given, else the mask's extent, else the joints', with the margin that it gets.

        Raises `ShapeError` where there is neither.
        """
        margin = self.margin
        if box_xyxy is not None and np.isfinite(box_xyxy).all():
            corners = np.asarray(box_xyxy, np.float64).reshape(2, 2)
        elif mask is not None and np.any(mask):
            corners = boxes.around_mask(mask).reshape(2, 2)
        elif keypoints_px is not None and np.isfinite(keypoints_px).all(axis=1).any():
            corners, margin = boxes.around_points(keypoints_px).reshape(2, 2), self.margin + self.joints_margin
        else:
            raise ShapeError("a crop needs a box, a mask that is not empty, or joints in pixels; got none of them")
        return boxes.around_points(corners, margin)

    def frame_to_input(self, box_xyxy: np.ndarray) -> Affine:
        """The map from the photo's pixels to the input's, for a box as `box` gives it."""
        return Affine.box_to_frame(
            boxes.expand_to_aspect(box_xyxy, self.size_wh[0] / self.size_wh[1], 1.0), self.size_wh
        )

    def crop(
        self, picture: np.ndarray, box_xyxy: np.ndarray, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, Affine]:
        """A picture (H, W, 3) or (H, W) uint8 and a box -> ((h, w, channels) uint8, the map used).

        Raises `ShapeError` for a background to remove without a mask, or a mask of another size.
        """
        if self.background == "black":
            if mask is None:
                raise ShapeError("background 'black' needs each frame's mask; give masks, or choose background 'keep'")
            if mask.shape != picture.shape[:2]:
                raise ShapeError(f"a mask must have the picture's size {picture.shape[:2]}, got {mask.shape}")
        frame_to_input = self.frame_to_input(box_xyxy)
        low, high = self._window(picture, box_xyxy, frame_to_input)
        part = picture[low[1] : high[1], low[0] : high[0]]
        if 0 in part.shape:
            shape = (*self.size_wh[::-1], self.channels)
            return np.zeros(shape, np.uint8), frame_to_input
        if self.background == "black":
            assert mask is not None
            inside = mask[low[1] : high[1], low[0] : high[0]] > 0
            part = np.where(inside if part.ndim == 2 else inside[..., None], part, np.uint8(0))
        if self.colour == "grey" and part.ndim == 3:
            part = np.rint(part.astype(np.float32) @ _GREY).astype(np.uint8)
        elif self.colour == "rgb" and part.ndim == 2:
            part = np.repeat(part[..., None], 3, axis=2)
        shift = Affine.translate(float(low[0]), float(low[1]))
        out = warp(np.ascontiguousarray(part), frame_to_input @ shift, self.size_wh)
        return (out[..., None] if out.ndim == 2 else out), frame_to_input

    def _window(
        self, picture: np.ndarray, box_xyxy: np.ndarray, frame_to_input: Affine
    ) -> tuple[np.ndarray, np.ndarray]:
        """First and past-the-last pixel (x, y) that may appear in the input."""
        if self.pad == "zero":  # of the box, whole pixels
            corners = np.asarray(box_xyxy, np.float64).reshape(2, 2)
            low, high = np.ceil(corners[0]), np.floor(corners[1]) + 1
        else:  # of the square, with what its filter reaches
            corners = frame_to_input.inverse().apply(boxes.whole_image(self.size_wh).reshape(2, 2))
            reach = 2 + (corners[1] - corners[0]) / np.array(self.size_wh)
            low, high = np.floor(corners[0] - reach), np.ceil(corners[1] + reach) + 1
        size = np.array(picture.shape[1::-1])
        return np.clip(low, 0, size).astype(int), np.clip(high, 0, size).astype(int)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a card."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SquareCrop:
        """Rebuild from `to_dict`'s output; `WeightsError` for unknown keys."""
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            return cls(**fields)
        except TypeError as error:
            raise WeightsError(f"not a square crop's record: {error}; got the keys {sorted(data)}") from error
