"""Losses by their closed forms; a joint of weight 0 never counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import ShapeError
from vitruvian.losses import LOSSES, heatmap_cross_entropy, heatmap_mse, simcc_cross_entropy
from vitruvian.types import Targets

_CODECS = {
    "heatmap_mse": HeatmapCodec(size_wh=(32, 48)),
    "heatmap_cross_entropy": HeatmapCodec(size_wh=(32, 48), activation="softmax"),
    "simcc_cross_entropy": SimccCodec(size_wh=(32, 48), sigma=2.0),
}


def _case(name: str, rng: np.random.Generator, batch: int = 3, joints: int = 5):
    """Random outputs that need a gradient, targets of random joints, some of weight 0."""
    codec = _CODECS[name]
    points = torch.from_numpy(rng.uniform(1, [30, 46], (batch, joints, 2)).astype(np.float32))
    visibility = torch.from_numpy(rng.integers(0, 3, (batch, joints)))
    visibility[0, 0], visibility[1, 2] = 0, 2
    targets = codec.encode_torch(points, visibility)
    arrays = {
        k: torch.from_numpy(rng.normal(size=(batch, *s)).astype(np.float32)).requires_grad_()
        for k, s in codec.shapes(joints).items()
    }
    return arrays, targets


def test_the_table_names_its_functions() -> None:
    assert set(LOSSES) == set(_CODECS)
    assert all(loss.__name__ == name for name, loss in LOSSES.items())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_unlabelled_joints_count_for_nothing(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    loss = LOSSES[name](arrays, targets)
    loss.backward()
    for array in arrays.values():
        assert array.grad is not None
        assert torch.isfinite(array.grad).all()
        assert (array.grad[targets.weights == 0] == 0).all()
        assert (array.grad[targets.weights == 1].flatten(1).abs().sum(1) > 0).all()
    with torch.no_grad():
        for array in arrays.values():
            array[targets.weights == 0] = 1e4
    assert LOSSES[name](arrays, targets).item() == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_batch_without_labels_is_zero_with_no_gradient(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    nothing = Targets({k: torch.zeros_like(v) for k, v in targets.arrays.items()}, torch.zeros_like(targets.weights))
    loss = LOSSES[name](arrays, nothing)
    loss.backward()
    assert loss.item() == 0
    assert all((array.grad == 0).all() for array in arrays.values())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_mean_is_over_labelled_joints(name: str, rng: np.random.Generator) -> None:
    """Not over the batch: a sample with few labels is not outvoted by its own blanks."""
    arrays, targets = _case(name, rng)
    single = []
    for b, k in (targets.weights == 1).nonzero():
        one = Targets({n: v[b : b + 1, k : k + 1] for n, v in targets.arrays.items()}, torch.ones(1, 1))
        single.append(LOSSES[name]({n: v[b : b + 1, k : k + 1] for n, v in arrays.items()}, one).item())
    assert LOSSES[name](arrays, targets).item() == pytest.approx(np.mean(single), rel=1e-5)


def test_squared_error_by_hand() -> None:
    truth = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    found = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    targets = Targets({"heatmaps": truth}, torch.tensor([[1.0, 0.0]]))
    assert heatmap_mse({"heatmaps": found}, targets).item() == pytest.approx((0.25 + 0.25 + 0 + 1) / 4)
    # A weight of 3 at the peak counts its pixel fourfold.
    assert heatmap_mse({"heatmaps": found}, targets, peak_weight=3.0).item() == pytest.approx(
        (0.25 + 4 * 0.25 + 0 + 1) / 4
    )


@pytest.mark.parametrize("peak_weight", [0.0, 20.0])
def test_squared_error_equals_the_loop(peak_weight: float, rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_mse", rng)
    found, truth = arrays["heatmaps"].detach().double().numpy(), targets.arrays["heatmaps"].double().numpy()
    means = []
    for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
        total = 0.0
        for y in range(truth.shape[2]):
            for x in range(truth.shape[3]):
                total += (1 + peak_weight * truth[b, k, y, x]) * (found[b, k, y, x] - truth[b, k, y, x]) ** 2
        means.append(total / (truth.shape[2] * truth.shape[3]))
    assert heatmap_mse(arrays, targets, peak_weight).item() == pytest.approx(np.mean(means), rel=1e-5)


@pytest.mark.parametrize("peak_weight", [0.0, 10.0])
def test_squared_error_is_zero_at_the_truth_only(peak_weight: float, rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_mse", rng)
    assert heatmap_mse({"heatmaps": targets.arrays["heatmaps"]}, targets, peak_weight).item() == 0
    assert heatmap_mse(arrays, targets, peak_weight).item() > 0


@pytest.mark.parametrize("name", ["heatmap_cross_entropy", "simcc_cross_entropy"])
def test_cross_entropy_is_the_entropy_at_the_truth_and_more_elsewhere(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    entropy = 0.0
    for truth in targets.arrays.values():
        p = truth.double().flatten(2)
        entropy += -(torch.xlogy(p, p).sum(-1) * targets.weights).sum().item()
    entropy /= targets.weights.sum().item()
    best = {k: torch.log(v.clamp(min=1e-30)).requires_grad_() for k, v in targets.arrays.items()}
    loss = LOSSES[name](best, targets)
    assert loss.item() == pytest.approx(entropy, rel=1e-4)
    loss.backward()
    assert all(v.grad.abs().max() < 1e-6 for v in best.values())
    shifted = {k: (v + 3.7).detach() for k, v in best.items()}  # logits are free of a constant
    assert LOSSES[name](shifted, targets).item() == pytest.approx(entropy, rel=1e-4)
    assert LOSSES[name](arrays, targets).item() > entropy + 0.1


def test_cross_entropy_of_a_flat_map_is_the_log_of_its_size(rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_cross_entropy", rng)
    flat = {"heatmaps": torch.zeros_like(arrays["heatmaps"])}
    assert heatmap_cross_entropy(flat, targets).item() == pytest.approx(math.log(8 * 12), rel=1e-5)


def test_cross_entropy_gradient_is_softmax_minus_truth(rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_cross_entropy", rng)
    heatmap_cross_entropy(arrays, targets).backward()
    logits = arrays["heatmaps"]
    softmax = logits.detach().flatten(2).softmax(-1).view_as(logits)
    expected = (softmax - targets.arrays["heatmaps"]) * targets.weights[..., None, None] / targets.weights.sum()
    np.testing.assert_allclose(logits.grad.numpy(), expected.numpy(), atol=1e-7)


def test_simcc_adds_its_axes(rng: np.random.Generator) -> None:
    arrays, targets = _case("simcc_cross_entropy", rng)
    total = 0.0
    for name in ("simcc_x", "simcc_y"):
        logits = arrays[name].detach().double()
        log_p = logits - logits.logsumexp(-1, keepdim=True)
        total += -((targets.arrays[name] * log_p).sum(-1) * targets.weights).sum().item()
    assert simcc_cross_entropy(arrays, targets).item() == pytest.approx(total / targets.weights.sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_bfloat16_outputs_are_summed_in_float32(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    coarse = {k: v.detach().bfloat16() for k, v in arrays.items()}
    same = {k: v.float() for k, v in coarse.items()}
    loss = LOSSES[name](coarse, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == LOSSES[name](same, targets).item()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_arrays_and_targets_of_another_shape_are_refused(name: str, rng: np.random.Generator) -> None:
    """One joint of outputs would otherwise be stretched over all joints of the targets."""
    arrays, targets = _case(name, rng)
    with pytest.raises(ShapeError, match="network gives"):
        LOSSES[name]({k: v[:, :1] for k, v in arrays.items()}, targets)
