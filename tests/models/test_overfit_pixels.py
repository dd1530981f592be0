"""Tiny end to end: networks of masks and joints learn a few pictures by heart, every head at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import PixelsCodec
from vitruvian.losses import LOSSES
from vitruvian.metrics.masks import dice
from vitruvian.models import build_model
from vitruvian.preprocess import Preprocess
from vitruvian.types import Outputs

_SIDE, _COUNT = 32, 8


def _pictures(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dark noise with a blue disc, the person, in which there are a red and a green joint."""
    images = rng.integers(0, 60, (_COUNT, _SIDE, _SIDE, 3), dtype=np.uint8)
    masks = np.zeros((_COUNT, _SIDE, _SIDE), np.uint8)
    points = np.empty((_COUNT, 2, 2), np.float32)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    for i in range(_COUNT):
        centre, radius = rng.uniform(11, _SIDE - 12, 2), rng.uniform(8, 10)
        masks[i] = np.hypot(x - centre[0], y - centre[1]) < radius
        images[i][masks[i] > 0] = (40, 40, 200)
        points[i] = centre + np.array([[-4, rng.uniform(-2, 2)], [4, rng.uniform(-2, 2)]])
        for k, (u, v) in enumerate(points[i]):
            images[i][np.hypot(x - u, y - v) < 2] = np.eye(3, dtype=np.uint8)[k] * 220 + 30
    return images, points, masks


@pytest.mark.parametrize(
    ("model", "options", "heads", "steps"),
    [
        ("unet", {"width": 12, "levels": 3, "dropout": 0.0}, ("mask", "heat", "classes"), 120),
        ("harmonic", {"streams": ((4, 4), (6, 6), (8, 8)), "dropout": 0.0}, ("mask", "classes"), 80),
        (
            "compact",
            {"widths": (16, 16, 24, 24), "depths": (1, 1, 1), "neck": (24, 24), "fine": (24, 16)},
            ("mask", "classes"),
            120,
        ),
    ],
)
def test_masks_and_joints_are_learned_together(
    model: str, options: dict[str, Any], heads: tuple[str, ...], steps: int, rng: np.random.Generator
) -> None:
    stride = 2 if model == "compact" else 1
    codec = PixelsCodec((_SIDE, _SIDE), stride=stride, heads=heads, sigma=1.5 / stride, peak=1.0)
    images, points, masks = _pictures(rng)
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = build_model(model, 2, codec, **options)
    inputs = torch.from_numpy(Preprocess((_SIDE, _SIDE)).normalise(images))
    targets = codec.encode_torch(torch.from_numpy(points), torch.full((_COUNT, 2), 2))
    targets = codec.add_mask(targets, torch.from_numpy(masks))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(steps):
        network.train()
        optimizer.zero_grad()
        LOSSES["pixels"](network(inputs), targets, classes=10.0, mask_entropy=1.0).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        outputs = Outputs(network(inputs))
    found, _ = codec.decode(outputs)
    near = np.linalg.norm(found - points, axis=-1) < 0.2 * 8  # 0.2 of the distance between the joints
    truth = targets.arrays["mask"][:, 1].numpy()
    assert near.mean() >= 0.95
    assert dice(codec.mask(outputs), truth).mean() >= 0.95
