"""Tiny end to end: each family, with each head, learns 32 pictures of coloured dots by heart.

Joint, codec, head, loss and decoding have to agree for that; each of them alone could be consistently wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.losses import LOSSES
from vitruvian.models import build_model
from vitruvian.preprocess import Preprocess
from vitruvian.types import Outputs

_SIZE = (64, 64)
_TINY = {"widths": (16, 24, 32, 32), "depths": (1, 1, 1), "neck": (24, 24)}
_HEADS: dict[str, tuple[Any, str, dict[str, float]]] = {
    "heatmap": (HeatmapCodec(_SIZE), "heatmap_mse", {"peak_weight": 20.0}),
    "heatmap softmax": (HeatmapCodec(_SIZE, activation="softmax"), "heatmap_cross_entropy", {}),
    "simcc": (SimccCodec(_SIZE, sigma=2.0), "simcc_cross_entropy", {}),
}


def _people(rng: np.random.Generator, count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise with a red, a green and a blue dot: images (N, 64, 64, 3) and joints (N, 3, 2)."""
    images = rng.integers(0, 60, (count, 64, 64, 3), dtype=np.uint8)
    points = rng.uniform(6, 57, (count, 3, 2)).astype(np.float32)
    y, x = np.mgrid[:64, :64]
    for image, joints in zip(images, points, strict=True):
        for k, (u, v) in enumerate(joints):
            image[np.hypot(x - u, y - v) < 4] = np.eye(3, dtype=np.uint8)[k] * 220 + 30
    return images, points


def _pck(network: Any, inputs: Any, codec: Any, points: np.ndarray, within_px: float) -> tuple[float, np.ndarray]:
    network.eval()
    with torch.no_grad():
        found, scores = codec.decode(Outputs(network(inputs)))
    return float((np.linalg.norm(found - points, axis=-1) < within_px).mean()), scores


def _learn(model: str, options: dict, head: str, rng: np.random.Generator, steps: int) -> None:
    codec, loss, loss_options = _HEADS[head]
    images, points = _people(rng)
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = build_model(model, 3, codec, **options)
    inputs = torch.from_numpy(Preprocess(_SIZE).normalise(images))
    targets = codec.encode_torch(torch.from_numpy(points), torch.full((32, 3), 2))
    before, _ = _pck(network, inputs, codec, points, 3.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(steps):
        network.train()
        optimizer.zero_grad()
        LOSSES[loss](network(inputs), targets, **loss_options).backward()
        optimizer.step()
        schedule.step()
    after, scores = _pck(network, inputs, codec, points, 3.0)
    assert before < 0.3
    assert after >= 0.95, f"PCK within 3 of 64 pixels: {after:.3f}"
    assert scores.mean() > 0.7


@pytest.mark.parametrize("head", sorted(_HEADS))
def test_compact_net_learns_32_pictures(head: str, rng: np.random.Generator) -> None:
    _learn("compact", _TINY, head, rng, steps=120)


@pytest.mark.slow
@pytest.mark.parametrize("head", sorted(_HEADS))
def test_simple_baseline_learns_32_pictures(head: str, rng: np.random.Generator) -> None:
    _learn("simple_baseline_18", {"width": 32}, head, rng, steps=60)
