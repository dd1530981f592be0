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
from vitruvian.models.hourglass import STACKS
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import Skeleton
from vitruvian.types import Outputs

_TINY = {"widths": (16, 24, 32, 32), "depths": (1, 1, 1), "neck": (24, 24)}
_HEADS: dict[str, tuple[Any, str, dict[str, float]]] = {
    "heatmap": (HeatmapCodec((64, 64)), "heatmap_mse", {"peak_weight": 20.0}),
    "heatmap softmax": (HeatmapCodec((64, 64), activation="softmax"), "heatmap_cross_entropy", {}),
    "simcc": (SimccCodec((64, 64), sigma=2.0), "simcc_cross_entropy", {}),
    "simcc by temperature": (SimccCodec((64, 64), sigma=3.0, temperature=0.1), "simcc_cross_entropy", {}),
}


def _people(rng: np.random.Generator, side: int, count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise with a red, a green and a blue dot: images (N, side, side, 3) and joints (N, 3, 2)."""
    images = rng.integers(0, 60, (count, side, side, 3), dtype=np.uint8)
    points = rng.uniform(0.1 * side, 0.9 * side - 1, (count, 3, 2)).astype(np.float32)
    y, x = np.mgrid[:side, :side]
    for image, joints in zip(images, points, strict=True):
        for k, (u, v) in enumerate(joints):
            image[np.hypot(x - u, y - v) < side / 16] = np.eye(3, dtype=np.uint8)[k] * 220 + 30
    return images, points


def _pck(network: Any, inputs: Any, codec: Any, points: np.ndarray, within_px: float) -> tuple[float, np.ndarray]:
    network.eval()
    with torch.no_grad():
        found, scores = codec.decode(Outputs(network(inputs)))
    return float((np.linalg.norm(found - points, axis=-1) < within_px).mean()), scores


def _learn(model: str, options: dict, head: str, side: int, rng: np.random.Generator, steps: int, lr: float) -> None:
    codec, loss, loss_options = _HEADS[head]
    codec = codec.resized((side, side))
    images, points = _people(rng, side)
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = build_model(model, 3, codec, **options)
    inputs = torch.from_numpy(Preprocess((side, side)).normalise(images))
    targets = codec.encode_torch(torch.from_numpy(points), torch.full((32, 3), 2))
    before, _ = _pck(network, inputs, codec, points, side / 20)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for _ in range(steps):
        network.train()
        optimizer.zero_grad()
        arrays = network(inputs)
        every = [{"heatmaps": maps} for maps in arrays[STACKS].unbind(1)] if STACKS in arrays else [arrays]
        torch.stack([LOSSES[loss](one, targets, **loss_options) for one in every]).sum().backward()
        optimizer.step()
        schedule.step()
    after, scores = _pck(network, inputs, codec, points, side / 20)
    assert before < 0.5  # by luck a third lie near at times
    assert after >= 0.95, f"PCK within a twentieth of the side: {after:.3f}"
    assert scores.mean() > 0.7


@pytest.mark.parametrize("head", ["heatmap", "heatmap softmax", "simcc"])
def test_compact_net_learns_32_pictures(head: str, rng: np.random.Generator) -> None:
    _learn("compact", _TINY, head, 64, rng, steps=120, lr=8e-3)


@pytest.mark.parametrize(
    "options",
    [{"stacks": 2, "width": 32}, {"stacks": 2, "width": 32, "residual": "pre"}],
    ids=["coco system", "adversarial system's generator"],
)
def test_stacked_hourglass_learns_32_pictures(options: dict, rng: np.random.Generator) -> None:
    _learn("hourglass", options, "heatmap", 64, rng, steps=100, lr=1e-2)


def test_adversarial_training_learns_32_pictures(rng: np.random.Generator) -> None:
    """Network, discriminators, both: the same dots through all three stages of the module that recipes train with."""
    lightning = pytest.importorskip("lightning")
    from vitruvian.training.adversarial import LitAdversarial
    from vitruvian.training.recipe import AdversarialPart, OptimPart

    side, steps = 64, 15
    codec, images_points = HeatmapCodec((side, side)), _people(rng, side)
    images, points = images_points
    dots = Skeleton("dots", ("nose", "neck", "head_top"), ((0, 1), (1, 2)), (0.1, 0.1, 0.1))
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = build_model("hourglass", 3, codec, stacks=1, width=32)
    part = AdversarialPart.model_validate({"width": 8, "stages": {"generator": 4, "discriminator": 1, "joint": 3}})
    module = LitAdversarial(
        network, codec, dots, Preprocess((side, side)), "heatmap_mse", {"peak_weight": 20.0},
        OptimPart.model_validate({"lr": 1e-2, "weight_decay": 0.01, "warmup_steps": 5, "ema": None}),
        7 * steps, steps, part=part,
    )  # fmt: skip
    people = {"keypoints_px": torch.from_numpy(points), "visibility": torch.full((32, 3), 2)}
    batch = {"image": torch.from_numpy(images), **people}
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=8, logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader([batch] * steps, batch_size=None))
    assert module.stage == 2
    inputs = torch.from_numpy(Preprocess((side, side)).normalise(images))
    after, _ = _pck(network, inputs, codec, points, side / 20)
    assert after >= 0.95, f"PCK within a twentieth of the side: {after:.3f}"


def test_simple_baseline_learns_32_pictures(rng: np.random.Generator) -> None:
    _learn("simple_baseline_18", {"width": 32}, "heatmap", 64, rng, steps=150, lr=3e-3)


def test_rtmpose_learns_32_pictures(rng: np.random.Generator) -> None:
    options = {"width": 16, "hidden": 64, "keys": 32, "kernel": 3}
    _learn("rtmpose_t", options, "simcc by temperature", 64, rng, steps=100, lr=5e-3)


def test_vitpose_learns_32_pictures(rng: np.random.Generator) -> None:
    _learn("vitpose_s", {"width": 48, "depth": 1, "heads": 4}, "heatmap", 64, rng, steps=100, lr=5e-3)
