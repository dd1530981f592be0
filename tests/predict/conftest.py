"""A runtime whose answers are known: it finds the bright spots that a test paints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec
from vitruvian.predict import Predictor
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import Skeleton
from vitruvian.types import Outputs
from vitruvian.weights import Card

SPOTS = Skeleton("spots", ("left_hand", "right_hand"), ((0, 1),), (0.1, 0.1))


class SpotFinder:
    """The person's right hand is the bright spot in the left half of the crop, the left hand that in the right half.

    Mirroring a crop therefore exchanges the hands, as it does for a trained network. Heatmaps are crops averaged over
    the codec's stride, and Gaussian spots stay Gaussian, so decoding is exact.
    """

    def __init__(self, size_wh: tuple[int, int] = (96, 128)) -> None:
        self.card = Card("spots", "none", SPOTS, Preprocess(size_wh=size_wh), HeatmapCodec(size_wh=size_wh))
        self.description = "spot finder"
        self.batches: list[int] = []
        self.closed = False

    def run(self, crops: np.ndarray) -> Outputs:
        assert crops.dtype == np.uint8
        assert crops.flags.c_contiguous
        self.batches.append(len(crops))
        width, height = self.card.preprocess.size_wh
        assert crops.shape[1:] == (height, width, 3)
        stride = self.card.codec.stride
        grey = crops.astype(np.float32).mean(axis=3) / 255
        maps = grey.reshape(len(crops), height // stride, stride, width // stride, stride).mean(axis=(2, 4))
        left, right = maps.copy(), maps.copy()
        half = maps.shape[2] // 2
        left[:, :, half:] = 0
        right[:, :, :half] = 0
        return Outputs({"heatmaps": np.stack([right, left], axis=1)})

    def close(self) -> None:
        self.closed = True


def paint(size_wh: tuple[int, int], spots_px: np.ndarray, sigma_px: float) -> np.ndarray:
    """(H, W, 3) uint8, black with Gaussian spots at sub-pixel positions (S, 2)."""
    x, y = np.arange(size_wh[0]), np.arange(size_wh[1])[:, None]
    image = np.zeros((size_wh[1], size_wh[0]))
    for u, v in spots_px:
        image += np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma_px**2))
    return np.repeat(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def finder() -> SpotFinder:
    return SpotFinder()


@pytest.fixture
def predictor(finder: SpotFinder) -> Predictor:
    return Predictor(finder)


@pytest.fixture
def person() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draws ``count`` people beside each other: -> image, boxes (N, 4), hands (N, 2, 2) in the skeleton's order."""

    def draw(rng: np.random.Generator, count: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, hands = [], []
        for i in range(count):
            x0, y0 = 40 + 220 * i + rng.uniform(0, 20), 40 + rng.uniform(0, 20)
            side_w, side_h = rng.uniform(100, 150), rng.uniform(140, 200)
            box = np.array([x0, y0, x0 + side_w, y0 + side_h])
            right = box[:2] + np.array([side_w, side_h]) * rng.uniform([0.15, 0.2], [0.3, 0.8])
            left = box[:2] + np.array([side_w, side_h]) * rng.uniform([0.7, 0.2], [0.85, 0.8])
            boxes.append(box)
            hands.append([left, right])
        hands_px = np.array(hands).reshape(count, 2, 2)
        image = paint((60 + 220 * max(count, 1), 300), hands_px.reshape(-1, 2), sigma_px=10.0)
        return image, np.array(boxes).reshape(count, 4), hands_px

    return draw
