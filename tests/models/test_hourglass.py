"""The stacked hourglass: published parameter counts, shapes, intermediate supervision, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.losses import LOSSES, heatmap_mse, presence_cross_entropy
from vitruvian.models import build_model
from vitruvian.models.hourglass import STACKS
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import get_skeleton
from vitruvian.training.module import LitPose
from vitruvian.training.recipe import OptimPart

_SQUARE = HeatmapCodec(size_wh=(256, 256))


def _count(joints: int, **options: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_model("hourglass", joints, _SQUARE, **options).parameters())


@pytest.mark.parametrize(("stacks", "millions"), [(1, 3.50), (2, 6.64), (4, 12.93), (8, 25.51)])
def test_parameters_of_the_coco_system(stacks: int, millions: float) -> None:
    """That system also makes the last stack's two hand-over convolutions, which nothing follows."""
    unused = 256 * (256 + 1) + 256 * (17 + 1)
    assert round((_count(17, stacks=stacks) + unused) / 1e6, 2) == millions


@pytest.mark.parametrize(("stacks", "millions"), [(4, 16.56), (8, 32.82)])
def test_parameters_of_the_adversarial_systems_generator(stacks: int, millions: float) -> None:
    assert round(_count(16, stacks=stacks, residual="pre", project="always") / 1e6, 2) == millions


def test_variants_by_counting() -> None:
    """Identity shortcuts spare 1x1 convolutions; separable 3x3 convolutions c c 9 + c become 9 c + c (c + 1)."""
    every, needed = (_count(16, stacks=1, residual="pre", project=p) for p in ("always", "needed"))
    # Per stack 13 residuals of the hourglass and one after it, and the stem's 128 -> 128.
    assert every - needed == 14 * 256 * 257 + 128 * 129
    plain, mobile = _count(17, stacks=1), _count(17, stacks=1, separable=True)
    saved = lambda c: (9 * c * c + c) - (9 * c + c * (c + 1))  # noqa: E731
    # 4 left, 3 + 1 bottom, 3 skips, 3 on the way up with 128 inside; the stem's with 64, 64 and 128.
    assert plain - mobile == 14 * saved(128) + 2 * saved(64) + saved(128)


@pytest.mark.parametrize("residual", ["post", "pre"])
def test_stacks_come_in_training_only_and_the_last_is_the_result(residual: str, rng: np.random.Generator) -> None:
    codec = HeatmapCodec(size_wh=(128, 64))
    network = build_model("hourglass", 5, codec, stacks=3, width=8, residual=residual)
    images = torch.from_numpy(rng.normal(size=(2, 3, 64, 128)).astype(np.float32))
    arrays = network.train()(images)
    assert tuple(arrays[STACKS].shape) == (2, 3, 5, 16, 32)
    assert torch.equal(arrays[STACKS][:, -1], arrays["heatmaps"])
    with torch.no_grad():
        arrays, every = network.eval()(images), network.every_stack(images)
    assert list(arrays) == ["heatmaps"]
    assert torch.equal(every[:, -1], arrays["heatmaps"])
    assert not torch.equal(every[:, 0], every[:, 1])


@pytest.mark.parametrize(("head", "low", "high"), [("sigmoid", 0, 1), ("relu", 0, np.inf), ("linear", -np.inf, np.inf)])
def test_heads(head: str, low: float, high: float, rng: np.random.Generator) -> None:
    network = build_model("hourglass", 5, HeatmapCodec(size_wh=(64, 64)), stacks=1, width=16, head=head)
    with torch.no_grad():  # far beyond both limits; fresh weights may have one sign everywhere
        network.heads[0].bias[:2] = torch.tensor([-100.0, 100.0])
    maps = network(torch.from_numpy(rng.normal(size=(2, 3, 64, 64)).astype(np.float32)))["heatmaps"].detach()
    assert low <= maps.min()
    assert maps.max() <= high
    assert (maps < 0).any() == (head == "linear")


def test_the_loss_is_summed_over_stacks(rng: np.random.Generator) -> None:
    skeleton, codec = get_skeleton("lsp14"), HeatmapCodec(size_wh=(64, 64))
    network = build_model("hourglass", 14, codec, stacks=2, width=8)
    options = {"peak_weight": 3.0}
    module = LitPose(
        network, codec, skeleton, Preprocess((64, 64)), "heatmap_mse", options, OptimPart.model_validate({}), 10, 10
    )
    points = torch.from_numpy(rng.uniform(5, 58, (2, 14, 2)).astype(np.float32))
    targets = codec.encode_torch(points, torch.full((2, 14), 2))
    arrays = network.train()(torch.from_numpy(rng.normal(size=(2, 3, 64, 64)).astype(np.float32)))
    one = lambda s: LOSSES["heatmap_mse"]({"heatmaps": arrays[STACKS][:, s]}, targets, **options)  # noqa: E731
    assert module.supervised_loss(arrays, targets).item() == pytest.approx((one(0) + one(1)).item(), rel=1e-6)


def test_presence_counts_once(rng: np.random.Generator) -> None:
    """It is the last stack's alone: as for a network of one stack, whatever the earlier ones find."""
    codec, options = HeatmapCodec(size_wh=(64, 64), presence=True), {"peak_weight": 3.0, "presence": 0.5}
    network = build_model("compact", 14, codec, widths=(8, 8, 8, 8), neck=(8, 8), stacks=3)
    optim = OptimPart.model_validate({})
    preprocess = Preprocess((64, 64))
    module = LitPose(network, codec, get_skeleton("lsp14"), preprocess, "heatmap_mse", options, optim, 10, 10)
    targets = codec.encode_torch(
        torch.from_numpy(rng.uniform(5, 58, (2, 14, 2)).astype(np.float32)), torch.full((2, 14), 2)
    )
    arrays = network.train()(torch.from_numpy(rng.normal(size=(2, 3, 64, 64)).astype(np.float32)))
    maps = [heatmap_mse({"heatmaps": each}, targets, peak_weight=3.0) for each in arrays[STACKS].unbind(1)]
    expected = sum(maps) + 0.5 * presence_cross_entropy(arrays, targets)
    assert module.supervised_loss(arrays, targets).item() == pytest.approx(expected.item(), rel=1e-6)
    assert presence_cross_entropy(arrays, targets) > 0.1


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        (SimccCodec(), {}, "heatmaps of stride 4"),
        (HeatmapCodec(stride=8), {}, "heatmaps of stride 4"),
        (_SQUARE, {"stacks": 0}, "stacks"),
        (_SQUARE, {"width": 7}, "even"),
        (_SQUARE, {"residual": "mid"}, "post or pre"),
        (_SQUARE, {"head": "tanh"}, "sigmoid"),
        (_SQUARE, {"residual": "pre", "separable": True}, "separable"),
        (HeatmapCodec(size_wh=(96, 128)), {"residual": "pre"}, "multiples of 64"),
    ],
)
def test_what_cannot_be_is_refused(codec: Any, options: dict, said: str) -> None:
    with pytest.raises(VitruvianError, match=said):
        build_model("hourglass", 17, codec, **options)
