"""Losses of whole pictures by their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import PixelsCodec
from vitruvian.errors import ShapeError
from vitruvian.losses import LOSSES, pixels_cross_entropy, pixels_dice, pixels_mask_cross_entropy, pixels_mse
from vitruvian.metrics.masks import soft_dice
from vitruvian.types import Targets

CODEC = PixelsCodec((16, 32), heads=("mask", "heat", "classes"))


@pytest.fixture
def case(rng: np.random.Generator):
    points = torch.from_numpy(rng.uniform(2, [13, 29], (3, 4, 2)).astype(np.float32))
    targets = CODEC.encode_torch(points, torch.full((3, 4), 2))
    targets = CODEC.add_mask(targets, torch.from_numpy((rng.random((3, 32, 16)) < 0.4).astype(np.uint8)))
    draw = lambda shape: torch.from_numpy(rng.normal(size=(3, *shape)).astype(np.float32)).requires_grad_()  # noqa: E731
    return {k: draw(v) for k, v in CODEC.shapes(4).items()}, targets


def test_parts_against_numpy(case) -> None:
    arrays, targets = case
    truth = {k: v.numpy() for k, v in targets.arrays.items()}
    found = {k: v.detach().numpy().astype(np.float64) for k, v in arrays.items()}
    person = 1 / (1 + np.exp(found["mask"][:, 0] - found["mask"][:, 1]))
    dice = soft_dice(person, truth["mask"][:, 1].astype(np.float64))
    assert pixels_dice(arrays, targets).item() == pytest.approx(1 - dice.mean(), rel=1e-5)
    mse = ((found["heat"] - truth["heat"]) ** 2).mean()
    assert pixels_mse(arrays, targets).item() == pytest.approx(mse, rel=1e-5)
    log_p = found["classes"] - np.log(np.exp(found["classes"]).sum(axis=1, keepdims=True))
    entropy = -np.take_along_axis(log_p, truth["classes"].argmax(1)[:, None], axis=1).mean()
    assert pixels_cross_entropy(arrays, targets).item() == pytest.approx(entropy, rel=1e-5)
    weighed = LOSSES["pixels"](arrays, targets, mask=2.0, heat=0.5, classes=3.0).item()
    assert weighed == pytest.approx(2 * (1 - dice.mean()) + 0.5 * mse + 3 * entropy, rel=1e-5)
    plain = LOSSES["pixels"](arrays, targets).item()
    assert plain == pytest.approx((1 - dice.mean()) + mse + entropy, rel=1e-5)


def test_dice_by_hand() -> None:
    """One of two pixels found; an empty mask found empty costs nothing; the background is not asked."""
    sure = torch.tensor([[[[9e3, -9e3, 9e3, 9e3]], [[-9e3, 9e3, -9e3, -9e3]]]])
    truth = torch.tensor([[[[0.0, 0, 1, 1]], [[1.0, 1, 0, 0]]]])
    assert pixels_dice({"mask": sure}, Targets({"mask": truth}, None)).item() == pytest.approx(1 - 2 / 3, abs=1e-5)
    empty = torch.tensor([[[[1.0, 1, 1, 1]], [[0.0, 0, 0, 0]]]])
    nothing = sure.abs() * torch.tensor([1.0, -1.0])[None, :, None, None]
    assert pixels_dice({"mask": nothing}, Targets({"mask": empty}, None)).item() == pytest.approx(0, abs=1e-6)
    both = Targets({"mask": torch.cat([truth, empty])}, None)
    assert pixels_dice({"mask": torch.cat([sure, nothing])}, both).item() == pytest.approx((1 - 2 / 3) / 2, abs=1e-5)


def test_experiment_3_learns_discs(rng: np.random.Generator) -> None:
    """At the best answer to ``values`` the joints' channels are flat over a disc; ``shares`` have a peak."""
    points = torch.tensor([[[8.0, 16.0]]])
    flat = torch.log(PixelsCodec((16, 32)).encode_torch(points, torch.full((1, 1), 2)).arrays["classes"] + 1e-12)
    for classes in ("values", "shares"):
        targets = PixelsCodec((16, 32), classes=classes).encode_torch(points, torch.full((1, 1), 2))
        logits = flat.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(pixels_cross_entropy({"classes": logits}, targets), logits)
        assert (gradient.abs().max() < 1e-4) == (classes == "values")


def test_heads_of_no_weight_need_no_target(case) -> None:
    arrays, targets = case
    without = Targets({k: v for k, v in targets.arrays.items() if k != "mask"}, targets.weights)
    loss = LOSSES["pixels"](arrays, without, mask=0.0)
    loss.backward()
    assert arrays["mask"].grad is None
    assert arrays["heat"].grad.abs().sum() > 0
    with pytest.raises(ShapeError, match="no 'mask'"):
        LOSSES["pixels"](arrays, without)
    with pytest.raises(ShapeError, match="none of"):
        LOSSES["pixels"](arrays, targets, mask=0.0, heat=0.0, classes=0.0)


def test_shapes_must_agree_and_sums_are_float32(case) -> None:
    arrays, targets = case
    for name in ("mask", "heat", "classes"):
        with pytest.raises(ShapeError, match="network gives"):
            LOSSES["pixels"]({name: arrays[name][:, :1, :, :1]}, targets)
    coarse = {k: v.detach().bfloat16() for k, v in arrays.items()}
    loss = LOSSES["pixels"](coarse, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == LOSSES["pixels"]({k: v.float() for k, v in coarse.items()}, targets).item()
    assert math.isfinite(loss.item())


def test_pictures_without_mask_or_joints_teach_nothing(case) -> None:
    """The loss of a mixed batch is that of the pictures that have the label; the others get no gradient."""
    arrays, targets = case
    known, jointed = torch.tensor([True, False, True]), torch.tensor([False, True, True])
    truth = {**targets.arrays, "mask": targets.arrays["mask"] * known[:, None, None, None]}
    mixed = Targets(truth, targets.weights * jointed[:, None])
    for loss, head, counted in (
        (pixels_dice, "mask", known),
        (pixels_mask_cross_entropy, "mask", known),
        (pixels_mse, "heat", jointed),
        (pixels_cross_entropy, "classes", jointed),
    ):
        value = loss(arrays, mixed)
        part = Targets({head: targets.arrays[head][counted]}, targets.weights[counted])
        assert value.item() == pytest.approx(loss({head: arrays[head][counted]}, part).item(), rel=1e-6)
        (gradient,) = torch.autograd.grad(value, arrays[head])
        assert (gradient.abs().amax((1, 2, 3)) > 0).tolist() == counted.tolist()
        nothing = Targets({head: truth[head] * 0}, targets.weights * 0)
        nobody = loss(arrays, nothing)
        assert nobody.item() == 0
        assert not torch.autograd.grad(nobody, arrays[head])[0].any()


def test_mask_cross_entropy_by_hand(case) -> None:
    arrays, targets = case
    logits, truth = arrays["mask"].detach().double(), targets.arrays["mask"].double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], truth[:, 1])
    assert pixels_mask_cross_entropy(arrays, targets).item() == pytest.approx(expected.item(), rel=1e-5)
    plain, more = (LOSSES["pixels"](arrays, targets, heat=0, classes=0, mask_entropy=w).item() for w in (0.0, 3.0))
    assert more - plain == pytest.approx(3 * expected.item(), rel=1e-4)
