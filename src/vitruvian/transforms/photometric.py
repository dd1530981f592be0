"""Random colour and quality of a training crop: uint8 in, uint8 out, one lookup table for all of the tone changes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

from ..errors import VitruvianError
from .geometric import check_amounts

_LEVELS = np.linspace(0, 1, 256)


class Photometry(Protocol):
    """What a data set asks of a random change of colour and quality."""

    def __call__(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the same, changed; the input array is not modified."""
        ...


@dataclass(frozen=True)
class RandomPhotometry:
    """How a crop's look may vary. Amounts are half-ranges of uniform draws; ``*_prob`` are shares of samples.

    Attributes
    ----------
    brightness : added, as a share of 255.
    contrast : factor 1 +- this about mid-grey.
    colour : factor 1 +- this for each channel by itself.
    gamma : exponent, log-uniform in [1 / (1 + gamma), 1 + gamma].
    grey_prob : turned to grey.
    blur_prob, blur_px : Gaussian blur with a radius up to ``blur_px``.
    jpeg_prob : compressed and decoded again with quality 20-80.
    low_res_prob, low_res_factor : shrunk by up to that factor and enlarged again; very small people look like that.
    noise_prob, noise : Gaussian noise with a standard deviation up to ``noise`` x 255.
    erase_prob, erase_max : up to three rectangles of one random colour each, of at most ``erase_max`` of each side.
    darken_max : each channel by itself is multiplied by a factor from [1 - ``darken_max``, 1].
    """

    brightness: float = 0.2
    contrast: float = 0.3
    colour: float = 0.15
    gamma: float = 0.3
    grey_prob: float = 0.1
    blur_prob: float = 0.1
    blur_px: float = 2.0
    jpeg_prob: float = 0.1
    low_res_prob: float = 0.1
    low_res_factor: float = 3.0
    noise_prob: float = 0.1
    noise: float = 0.05
    erase_prob: float = 0.3
    erase_max: float = 0.35
    darken_max: float = 0.0

    def __post_init__(self) -> None:
        check_amounts(self)
        if self.low_res_factor < 1:
            raise VitruvianError(f"RandomPhotometry: 'low_res_factor' must be 1 or more, got {self.low_res_factor}")

    def __call__(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """See `Photometry.__call__`."""
        image = self._tone(rng, image)
        if rng.random() < self.grey_prob:
            grey = (image @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5).astype(np.uint8)
            image = np.repeat(grey[..., None], 3, axis=2)
        if rng.random() < self.blur_prob:
            blurred = _pillow(image).filter(ImageFilter.GaussianBlur(_between(rng, 0.3, self.blur_px)))
            image = np.array(blurred)
        if rng.random() < self.low_res_prob:
            image = _low_res(rng, image, self.low_res_factor)
        if rng.random() < self.noise_prob:
            image = _noisy(rng, image, 255 * rng.uniform(0, self.noise))
        if rng.random() < self.jpeg_prob:
            image = _jpeg(rng, image)
        if rng.random() < self.erase_prob:
            image = self._erase(rng, image)
        return image

    def _tone(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """Gamma, contrast, brightness and colour as one table of 256 entries a channel."""
        tone = _LEVELS ** ((1 + self.gamma) ** rng.uniform(-1, 1))
        tone = (tone - 0.5) * (1 + rng.uniform(-self.contrast, self.contrast)) + 0.5
        tone = tone + rng.uniform(-self.brightness, self.brightness)
        gains = 1 + rng.uniform(-self.colour, self.colour, 3)
        if self.darken_max:  # no draw where it is off, so that runs from before it existed can be repeated
            gains *= 1 - rng.uniform(0, self.darken_max, 3)
        tables = np.outer(255 * gains, tone)
        tables += 0.5
        tables = np.minimum(np.maximum(tables, 0, out=tables), 255, out=tables).astype(np.uint8)
        return np.array(_pillow(image).point(tables.ravel().tolist()))

    def _erase(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        image = image.copy()
        for _ in range(rng.integers(1, 4)):
            w, h = (max(1, int(side * _between(rng, 0.08, self.erase_max))) for side in (width, height))
            x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
            image[y : y + h, x : x + w] = rng.integers(0, 256, 3, dtype=np.uint8)
        return image


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform from ``low`` to ``high``, or from 0 where ``high`` is the smaller."""
    return float(rng.uniform(low if low < high else 0.0, high))


def _pillow(image: np.ndarray) -> Image.Image:
    """(H, W, 3) uint8 as a Pillow image; `Image.fromarray` copies once more."""
    size_wh = (image.shape[1], image.shape[0])
    return Image.frombuffer("RGB", size_wh, np.ascontiguousarray(image), "raw", "RGB", 0, 1)


@cache
def _normals() -> np.ndarray:
    """(65536,) draws of the standard normal distribution, which are looked up several times faster than drawn."""
    return np.random.default_rng(0).standard_normal(1 << 16)


def _noisy(rng: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Gaussian noise with a standard deviation of ``strength`` grey levels; rounded, since an image is whole."""
    table = np.rint(_normals() * strength).astype(np.int16)
    noisy = table.take(rng.integers(0, 1 << 16, image.shape, dtype=np.uint16), mode="clip")
    noisy += image
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _low_res(rng: np.random.Generator, image: np.ndarray, most: float) -> np.ndarray:
    height, width = image.shape[:2]
    factor = rng.uniform(min(1.2, most), most)
    small_wh = (max(1, int(width / factor)), max(1, int(height / factor)))
    small = _pillow(image).resize(small_wh, Image.Resampling.BOX)
    return np.array(small.resize((width, height), Image.Resampling.BILINEAR))


def _jpeg(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    _pillow(image).save(buffer, "JPEG", quality=int(rng.integers(20, 81)))
    return np.array(Image.open(buffer).convert("RGB"))
