"""Losses against closed forms: what they are, and that joints of weight 0 never count."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.losses import LOSSES, heatmap_cross_entropy, heatmap_mse, simcc_cross_entropy
from vitruvian.types import Targets


def targets_for(name: str, rng: np.random.Generator, batch: int = 3, joints: int = 4) -> tuple[Targets, dict]:
    """Random joints, some unlabelled, and random network outputs that need a gradient."""
    codec = SimccCodec((32, 48)) if name.startswith("simcc") else HeatmapCodec((32, 48), activation=_activation(name))
    keypoints = torch.from_numpy(rng.uniform(2, 28, (batch, joints, 2)).astype(np.float32))
    visibility = torch.from_numpy(rng.integers(0, 3, (batch, joints)))
    visibility[0, 0], visibility[1, 1] = 0, 2
    keypoints[0, 0] = float("nan")
    targets = codec.encode_torch(keypoints, visibility)
    arrays = {
        k: torch.from_numpy(rng.standard_normal(v.shape).astype(np.float32)).requires_grad_()
        for k, v in targets.arrays.items()
    }
    return targets, arrays


def _activation(name: str) -> str:
    return "softmax" if "cross_entropy" in name else "linear"


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_unlabelled_joints_neither_count_nor_get_a_gradient(name, rng):
    targets, arrays = targets_for(name, rng)
    loss = LOSSES[name](arrays, targets)
    loss.backward()
    off = targets.weights == 0
    assert off.any()
    assert not off.all()
    for value in arrays.values():
        assert (value.grad[off] == 0).all()
        assert (value.grad[~off].abs().flatten(1).sum(1) > 0).all()
    changed = {k: torch.where(off.reshape(*off.shape, *[1] * (v.ndim - 2)), v + 9, v) for k, v in arrays.items()}
    assert LOSSES[name](changed, targets).item() == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_nobody_labelled_is_zero_with_zero_gradient(name, rng):
    targets, arrays = targets_for(name, rng)
    loss = LOSSES[name](arrays, Targets(targets.arrays, torch.zeros_like(targets.weights)))
    loss.backward()
    assert loss.item() == 0
    assert all((v.grad == 0).all() for v in arrays.values())


def test_squared_error_is_its_closed_form(rng):
    """Against a written-out loop in float64."""
    targets, arrays = targets_for("heatmap_mse", rng)
    got, truth = arrays["heatmaps"].detach().double().numpy(), targets.arrays["heatmaps"].double().numpy()
    for peak_weight in (0.0, 20.0):
        sums = []
        for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
            total = 0.0
            for y in range(truth.shape[2]):
                for x in range(truth.shape[3]):
                    total += (1 + peak_weight * truth[b, k, y, x]) * (got[b, k, y, x] - truth[b, k, y, x]) ** 2
            sums.append(total / (truth.shape[2] * truth.shape[3]))
        loss = heatmap_mse(arrays, targets, peak_weight=peak_weight).item()
        assert loss == pytest.approx(np.mean(sums), rel=1e-5)
    assert heatmap_mse({"heatmaps": targets.arrays["heatmaps"]}, targets).item() == 0


def test_cross_entropy_at_its_optimum_is_the_targets_entropy(rng):
    """And anything else is worse: Gibbs' inequality."""
    for name, loss in (("heatmap_cross_entropy", heatmap_cross_entropy), ("simcc_cross_entropy", simcc_cross_entropy)):
        targets, arrays = targets_for(name, rng)
        best = {k: torch.log(v.clamp(min=1e-30)) for k, v in targets.arrays.items()}
        labelled = targets.weights > 0
        entropy = sum(
            -(v * torch.log(v.clamp(min=1e-30))).flatten(2).sum(-1)[labelled] for v in targets.arrays.values()
        )
        assert loss(best, targets).item() == pytest.approx(entropy.mean().item(), rel=1e-4)
        assert loss(arrays, targets).item() > loss(best, targets).item()


def test_cross_entropy_of_a_flat_map_is_the_log_of_its_size(rng):
    targets, arrays = targets_for("heatmap_cross_entropy", rng)
    flat = {"heatmaps": torch.zeros_like(arrays["heatmaps"])}
    assert heatmap_cross_entropy(flat, targets).item() == pytest.approx(math.log(8 * 12), rel=1e-5)
