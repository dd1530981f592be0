"""Losses by their closed forms; a joint of weight 0 never counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import ShapeError
from vitruvian.losses import (
    LOSSES,
    grid_cross_entropy,
    heatmap_cross_entropy,
    heatmap_euclidean,
    heatmap_focal,
    heatmap_mse,
    heatmap_weighted_mse,
    pose_mpjpe,
    pose_squared,
    presence_cross_entropy,
    simcc_cross_entropy,
)
from vitruvian.types import Targets

_CODECS = {
    "heatmap_euclidean": HeatmapCodec(size_wh=(32, 48)),
    "heatmap_focal": HeatmapCodec(size_wh=(32, 48), sigma=1.0),
    "heatmap_mse": HeatmapCodec(size_wh=(32, 48)),
    "heatmap_weighted_mse": HeatmapCodec(size_wh=(32, 48), sigma=1.0),
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
    # Of pictures and of boxes: tests/test_pixel_losses.py, tests/test_detection.py.
    assert set(LOSSES) == {*_CODECS, "pixels", "boxes_aligned"}
    assert all(loss.__name__ == name for name, loss in LOSSES.items())


@pytest.mark.parametrize("name", sorted(_CODECS))
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


@pytest.mark.parametrize("name", sorted(_CODECS))
def test_a_batch_without_labels_is_zero_with_no_gradient(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    nothing = Targets({k: torch.zeros_like(v) for k, v in targets.arrays.items()}, torch.zeros_like(targets.weights))
    loss = LOSSES[name](arrays, nothing)
    loss.backward()
    assert loss.item() == 0
    assert all((array.grad == 0).all() for array in arrays.values())


@pytest.mark.parametrize("name", sorted(_CODECS.keys() - {"heatmap_euclidean"}))  # one norm, not a mean
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


@pytest.mark.parametrize(("peak_weight", "rival_weight"), [(0.0, 0.0), (20.0, 0.0), (0.0, 7.0), (20.0, 30.0)])
def test_squared_error_equals_the_loop(peak_weight: float, rival_weight: float, rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_mse", rng)
    found, truth = arrays["heatmaps"].detach().double().numpy(), targets.arrays["heatmaps"].double().numpy()
    means = []
    for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
        total = 0.0
        for y in range(truth.shape[2]):
            for x in range(truth.shape[3]):
                highest = max(truth[b, other, y, x] for other in range(truth.shape[1]))
                weight = 1 + peak_weight * truth[b, k, y, x] + rival_weight * (highest - truth[b, k, y, x])
                total += weight * (found[b, k, y, x] - truth[b, k, y, x]) ** 2
        means.append(total / (truth.shape[2] * truth.shape[3]))
    assert heatmap_mse(arrays, targets, peak_weight, rival_weight).item() == pytest.approx(np.mean(means), rel=1e-5)


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_where_the_left_might_be_the_right(chance: float) -> None:
    """Left and right joint at two pixels, this way round with a chance: the map of least loss, by its closed form."""
    w = 20.0
    maps = torch.zeros(2, 2, 1, 2)  # the two ways round; left and right joint; two pixels
    maps[0, 0, 0, 0] = maps[0, 1, 0, 1] = maps[1, 0, 0, 1] = maps[1, 1, 0, 0] = 1
    for rival_weight, best in ((0.0, (1 + w) * chance / (1 + w * chance)), (w, chance)):
        height = torch.tensor(best, requires_grad=True)
        empty = torch.zeros(())
        found = torch.stack([torch.stack([height, empty]), torch.stack([empty, height])])[None, :, None]
        both = [
            heatmap_mse({"heatmaps": found}, Targets({"heatmaps": way[None]}, torch.ones(1, 2)), w, rival_weight)
            for way in maps
        ]
        # The right order's two pixels alone depend on the height: its share of the loss is what counts.
        (chance * both[0] + (1 - chance) * both[1]).backward()
        assert height.grad is not None
        assert abs(height.grad.item()) < 1e-5


@pytest.mark.parametrize("peak_weight", [0.0, 10.0])
def test_squared_error_is_zero_at_the_truth_only(peak_weight: float, rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_mse", rng)
    assert heatmap_mse({"heatmaps": targets.arrays["heatmaps"]}, targets, peak_weight).item() == 0
    assert heatmap_mse(arrays, targets, peak_weight).item() > 0


def test_foreground_pixels_weigh_82(rng: np.random.Generator) -> None:
    """Against the loop, and against the plain error: without a weight, without and with nothing but foreground."""
    arrays, targets = _case("heatmap_weighted_mse", rng)
    found, truth = arrays["heatmaps"].detach().double().numpy(), targets.arrays["heatmaps"].double().numpy()
    means, foreground = [], 0
    for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
        total = 0.0
        for y in range(truth.shape[2]):
            for x in range(truth.shape[3]):
                near = truth[b, k, y, x] > math.exp(-4.5)
                foreground += near
                total += (82 if near else 1) * (found[b, k, y, x] - truth[b, k, y, x]) ** 2
        means.append(total / (truth.shape[2] * truth.shape[3]))
    assert 9 < foreground / len(means) < 30  # a disc of 3 pixels, cut by the border here and there
    assert heatmap_weighted_mse(arrays, targets).item() == pytest.approx(np.mean(means), rel=1e-5)
    plain = heatmap_mse(arrays, targets).item()
    for options, factor in (({"weight": 0.0}, 1), ({"floor": 1.0}, 1), ({"floor": -1.0}, 82)):
        assert heatmap_weighted_mse(arrays, targets, **options).item() == pytest.approx(factor * plain, rel=1e-5)


def test_the_euclidean_loss_is_one_norm_over_the_batch(rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_euclidean", rng)
    found, truth = arrays["heatmaps"].detach().double().numpy(), targets.arrays["heatmaps"].double().numpy()
    total = 0.0
    for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
        for y in range(truth.shape[2]):
            for x in range(truth.shape[3]):
                total += (found[b, k, y, x] - truth[b, k, y, x]) ** 2
    loss = heatmap_euclidean(arrays, targets)
    assert loss.item() == pytest.approx(math.sqrt(total), rel=1e-5)
    loss.backward()
    assert arrays["heatmaps"].grad.norm().item() == pytest.approx(1, rel=1e-4)
    twice = Targets({k: torch.cat([v, v]) for k, v in targets.arrays.items()}, torch.cat([targets.weights] * 2))
    double = heatmap_euclidean({k: torch.cat([v, v]) for k, v in arrays.items()}, twice)
    assert double.item() == pytest.approx(math.sqrt(2) * loss.item(), rel=1e-5)
    right = targets.arrays["heatmaps"].clone().requires_grad_()
    heatmap_euclidean({"heatmaps": right}, targets).backward()
    assert (right.grad == 0).all()  # the root's slope at 0 is infinite, and must not become NaN


def _focal_slowly(maps: Any, targets: Targets, alpha: float, beta: float) -> float:
    found, truth = maps.double().numpy(), targets.arrays["heatmaps"].double().numpy()
    total, peaks = 0.0, 0
    for b, k in zip(*np.nonzero(targets.weights.numpy()), strict=True):
        top = np.unravel_index(truth[b, k].argmax(), truth.shape[2:]) if truth[b, k].max() > 0 else None
        peaks += top is not None
        for y in range(truth.shape[2]):
            for x in range(truth.shape[3]):
                p, t = min(max(found[b, k, y, x], 1e-5), 1 - 1e-5), truth[b, k, y, x]
                if (y, x) == top:
                    total -= (1 - p) ** alpha * math.log(p)
                else:
                    total -= (1 - t) ** beta * p**alpha * math.log(1 - p)
    return total / max(peaks, 1)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 4.0), (1.5, 3.0)])
def test_focal_loss_equals_the_loop(alpha: float, beta: float, rng: np.random.Generator) -> None:
    arrays, targets = _case("heatmap_focal", rng)
    found = arrays["heatmaps"].detach().sigmoid()
    found[1, 1, 0, 0], found[2, 2, 1, 1] = 1.5, -0.3  # beyond what a probability can be: cut
    slow = _focal_slowly(found, targets, alpha, beta)
    assert heatmap_focal({"heatmaps": found}, targets, alpha, beta).item() == pytest.approx(slow, rel=1e-4)


def test_focal_loss_of_maps_that_are_to_be_empty(rng: np.random.Generator) -> None:
    """They have no peak: every pixel counts as background, and the count that divides is of the others."""
    codec = HeatmapCodec(size_wh=(32, 48), sigma=1.0, unlabelled="empty")
    points = torch.from_numpy(rng.uniform(1, [30, 46], (2, 3, 2)).astype(np.float32))
    found = torch.from_numpy(rng.uniform(0, 1, (2, 3, 12, 8)).astype(np.float32))
    for visibility in (torch.tensor([[2, 0, 1], [0, 0, 2]]), torch.zeros(2, 3)):
        targets = codec.encode_torch(points, visibility)
        slow = _focal_slowly(found, targets, 2, 4)
        assert heatmap_focal({"heatmaps": found}, targets).item() == pytest.approx(slow, rel=1e-4)


def test_focal_loss_by_hand() -> None:
    truth = torch.tensor([[[[0.9, 0.5], [0.0, 0.5]], [[1.0, 0.0], [0.0, 0.0]]]])
    found = torch.tensor([[[[0.5, 0.5], [0.1, 0.5]], [[0.2, 0.7], [0.9, 0.9]]]])
    targets = Targets({"heatmaps": truth}, torch.tensor([[1.0, 0.0]]))
    expected = 0.25 * math.log(2) + 2 * 0.5**4 * 0.25 * math.log(2) - 0.01 * math.log(0.9)
    assert heatmap_focal({"heatmaps": found}, targets).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["heatmap_euclidean", "heatmap_weighted_mse"])
def test_errors_are_zero_at_the_truth_only(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    assert LOSSES[name](targets.arrays, targets).item() == 0
    assert LOSSES[name](arrays, targets).item() > 0


def test_focal_loss_falls_as_the_map_sharpens(rng: np.random.Generator) -> None:
    """Its minimum is 1 at the peak and 0 elsewhere: less than the target itself costs."""
    _, targets = _case("heatmap_focal", rng)
    truth = targets.arrays["heatmaps"]
    sharp = (truth == truth.amax(dim=(-2, -1), keepdim=True)).float()
    costs = [heatmap_focal({"heatmaps": m}, targets).item() for m in (sharp, truth, torch.full_like(truth, 0.5))]
    assert costs == sorted(costs)
    assert costs[0] < 1e-3


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


@pytest.mark.parametrize("name", sorted(_CODECS))
def test_bfloat16_outputs_are_summed_in_float32(name: str, rng: np.random.Generator) -> None:
    arrays, targets = _case(name, rng)
    coarse = {k: v.detach().bfloat16() for k, v in arrays.items()}
    same = {k: v.float() for k, v in coarse.items()}
    loss = LOSSES[name](coarse, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == LOSSES[name](same, targets).item()


@pytest.mark.parametrize("name", sorted(_CODECS))
def test_arrays_and_targets_of_another_shape_are_refused(name: str, rng: np.random.Generator) -> None:
    """One joint of outputs would otherwise be stretched over all joints of the targets."""
    arrays, targets = _case(name, rng)
    with pytest.raises(ShapeError, match="network gives"):
        LOSSES[name]({k: v[:, :1] for k, v in arrays.items()}, targets)


def test_grid_cross_entropy_by_hand() -> None:
    """A network that knows nothing is at 1700 log 2; one that is sure and right at 0, sure and wrong at its logit."""
    truth, weights = torch.zeros(2, 17, 10, 10), torch.ones(2, 17)
    truth[:, :, 3, 4] = 1
    assert grid_cross_entropy(torch.zeros_like(truth), truth, weights).item() == pytest.approx(1700 * math.log(2))
    right = torch.where(truth > 0, 30.0, -30.0)
    assert grid_cross_entropy(right, truth, weights).item() == pytest.approx(0, abs=1e-6)
    wrong = right.clone()
    wrong[1, 2, 0, 0] = 30
    assert grid_cross_entropy(wrong, truth, weights).item() == pytest.approx(30 / 2)  # the mean of two poses
    weights[1, 2] = 0
    assert grid_cross_entropy(wrong, truth, weights).item() == pytest.approx(0, abs=1e-6)


def test_pose_losses_by_hand() -> None:
    truth = torch.tensor([[[0.0, 0, 0], [10, 20, 30], [float("nan")] * 3], [[1, 1, 1], [2, 2, 2], [3, 3, 3]]])
    found = torch.tensor([[[3.0, 4, 0], [10, 20, 30], [7, 7, 7]], [[1, 1, 13], [2, 2, 2], [5, 4, 5]]])
    found.requires_grad_()
    weights = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    mean, square = pose_mpjpe(found, truth, weights), pose_squared(found, truth, weights)
    assert mean.item() == pytest.approx((5 + 0 + 12 + 0 + 3) / 5)
    assert square.item() == pytest.approx((25 + 144 + 9) / 2)
    (gradient,) = torch.autograd.grad(mean, found)
    expected = torch.zeros_like(found)
    expected[0, 0] = torch.tensor([3 / 5, 4 / 5, 0]) / 5  # unit vectors over the number of joints
    expected[1, 0] = torch.tensor([0, 0, 1.0]) / 5
    expected[1, 2] = torch.tensor([2 / 3, 1 / 3, 2 / 3]) / 5
    torch.testing.assert_close(gradient, expected)
    (gradient,) = torch.autograd.grad(square, found)
    torch.testing.assert_close(gradient[1, 2], torch.tensor([2.0, 1, 2]))
    assert (gradient[0, 2] == 0).all()


@pytest.mark.parametrize("loss", [grid_cross_entropy, pose_mpjpe, pose_squared])
def test_losses_of_3d_poses_without_labels_or_with_other_shapes(loss) -> None:
    shape = (2, 4, 3) if loss is not grid_cross_entropy else (2, 4, 5, 5)
    found = torch.randn(shape, requires_grad=True)
    value = loss(found, torch.zeros(shape), torch.zeros(2, 4))
    value.backward()
    assert value.item() == 0
    assert (found.grad == 0).all()  # type: ignore[union-attr]
    with pytest.raises(ShapeError, match="the network gives"):
        loss(found, torch.zeros(1, *shape[1:]), torch.ones(2, 4))


def test_presence_in_closed_form(rng):
    """Cross-entropy over joints of which it is known; the maps' own part stays as it is."""
    codec = HeatmapCodec(size_wh=(32, 48), presence=True, outside="empty")
    points = np.array([[[10, 10], [99, 10], [5, 5]], [[99, 9], [5, 5], [7, 7]]], np.float32)
    targets = codec.encode_torch(torch.from_numpy(points), torch.tensor([[2, 2, 0], [1, 0, 0]]))
    logits = torch.from_numpy(rng.normal(0, 3, (2, 3)).astype(np.float32)).requires_grad_()
    maps = torch.from_numpy(rng.normal(size=(2, 3, 12, 8)).astype(np.float32))
    arrays = {"heatmaps": maps, "presence": logits}
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    x = logits.detach().numpy().astype(np.float64)
    expected = (softplus(-x[0, 0]) + softplus(x[0, 1]) + softplus(x[1, 0])) / 3
    assert presence_cross_entropy(arrays, targets).item() == pytest.approx(expected, rel=1e-5)
    whole = heatmap_mse(arrays, targets, presence=0.25)
    assert whole.item() == pytest.approx(heatmap_mse(arrays, targets).item() + expected / 4, rel=1e-5)
    whole.backward()
    np.testing.assert_array_equal(logits.grad != 0, [[True, True, False], [True, False, False]])
