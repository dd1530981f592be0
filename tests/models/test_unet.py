"""U-Net: the published parameter counts, Keras' padding, skips and dropout, strides, refusals."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F

from vitruvian.codecs import HeatmapCodec, PixelsCodec
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.models import build_model
from vitruvian.models.unet import UNet

# five-systems report of system 0: mask only, regression only, experiments 1, 2 and 3, and 4
PUBLISHED = {
    ("mask",): 31_031_810,
    ("heat",): 31_031_745,
    ("mask", "heat"): 31_031_875,
    ("mask", "classes"): 31_033_500,
    ("mask", "heat", "classes"): 31_033_565,
}
CODEC = PixelsCodec((32, 32), heads=("mask", "heat", "classes"))


def _count(network) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("heads", PUBLISHED)
def test_published_parameter_counts(heads: tuple[str, ...]) -> None:
    with torch.device("meta"):
        assert _count(build_model("unet", 25, PixelsCodec(heads=heads))) == PUBLISHED[heads]


@pytest.mark.parametrize(("width", "levels", "stride"), [(64, 5, 4), (8, 5, 1), (6, 3, 2), (5, 2, 1)])
def test_counts_of_other_widths_and_strides(width: int, levels: int, stride: int) -> None:
    conv = lambda a, b, k: k * k * a * b + b  # noqa: E731
    widths = [width * 2**i for i in range(levels)]
    total = sum(conv(a, b, 3) + conv(b, b, 3) for a, b in zip([3, *widths], widths, strict=False))
    for level in range(levels - 2, -1, -1):
        if 2**level >= stride:
            c = widths[level]
            total += conv(2 * c, c, 2) + conv(2 * c, c, 3) + conv(c, c, 3)
    codec = HeatmapCodec(stride=stride)
    total += conv(width * stride, 17, 1)
    with torch.device("meta"):
        assert _count(build_model("unet", 17, codec, width=width, levels=levels)) == total
    assert (width, stride) != (64, 4) or total == 30_318_673


def _by_hand(network: UNet, image, skips: list):
    """The forward pass written out for five levels without dropout; ``skips`` replace what is concatenated."""
    x, kept = image, []
    for i, (a, _, b, _) in enumerate(network.down):
        x = F.relu(b(F.relu(a(F.max_pool2d(x, 2) if i else x))))
        kept.append(x)
    for level, enlarge, (a, _, b, _) in zip((3, 2, 1, 0), network.enlarge, network.up, strict=True):
        larger = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        # Keras pads an even kernel on the right and below: pixel (y, x) sees (y ... y + 1, x ... x + 1).
        padded = torch.zeros(*larger.shape[:2], larger.shape[2] + 1, larger.shape[3] + 1)
        padded[..., :-1, :-1] = larger
        w = enlarge.weight
        parts = [
            torch.einsum("oc,bchw->bohw", w[:, :, j, i], padded[..., j : j + larger.shape[2], i : i + larger.shape[3]])
            for j in (0, 1)
            for i in (0, 1)
        ]
        up = F.relu(sum(parts) + enlarge.bias[:, None, None])
        x = F.relu(b(F.relu(a(torch.cat([kept[level] * skips[level], up], dim=1)))))
    return x


def test_forward_by_hand(rng: np.random.Generator) -> None:
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = UNet(5, CODEC, width=4).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    image = torch.from_numpy(rng.normal(size=(2, 3, 16, 48)).astype(np.float32))
    with torch.no_grad():
        expected = _by_hand(network, image, [1, 1, 1, 1])
        np.testing.assert_allclose(network.features(image), expected, rtol=1e-3, atol=1e-4 * expected.abs().max())
        arrays = network(image)
        assert {k: tuple(v.shape) for k, v in arrays.items()} == {
            "mask": (2, 2, 16, 48),
            "heat": (2, 1, 16, 48),
            "classes": (2, 6, 16, 48),
        }
        head = network.head.project["classes"]
        np.testing.assert_allclose(arrays["classes"], head(network.features(image)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("skips", "dropped"), [("system", {3}), ("before", set()), ("after", {1, 2, 3})])
def test_which_skips_are_dropped(skips: str, dropped: set[int]) -> None:
    """A dropout that makes everything negative leaves those skips that go round it."""

    class Negative(torch.nn.Module):
        def forward(self, x):
            return -1 - x.abs()

    network = UNet(5, CODEC, width=4, skips=skips)
    network.dropout = Negative()  # type: ignore[assignment]
    seen = []
    for block in network.up:
        block.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        network.features(torch.rand(1, 3, 32, 32))
    for level, inputs in zip((3, 2, 1, 0), seen, strict=True):
        skip = inputs[:, : inputs.shape[1] // 2]
        assert (skip.min() < 0) == (level in dropped)


def test_dropout_is_where_the_system_has_it() -> None:
    network, calls = UNet(5, CODEC, width=4), []
    network.dropout.register_forward_hook(lambda _, args, out: calls.append(tuple(out.shape[1:])))
    network.features(torch.rand(1, 3, 32, 32))
    assert calls == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2), (32, 4, 4), (16, 8, 8), (8, 16, 16)]
    assert network.dropout.p == 0.3


def test_weights_start_he_normal() -> None:
    torch.manual_seed(3)
    weight = UNet(5, CODEC, width=32).down[2][2].weight  # 128 x 128 x 3 x 3
    deviation = (2 / (128 * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.abs().max() <= 2 * deviation / 0.87962566 + 1e-6  # cut there; a full normal goes beyond four


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        (CODEC, {"width": 0}, "width"),
        (CODEC, {"levels": 1}, "levels"),
        (CODEC, {"skips": "none"}, "skips"),
        (CODEC, {"dropout": 1.0}, "dropout"),
        (HeatmapCodec((96, 96), stride=3), {}, "stride 1, 2, 4"),
        (HeatmapCodec((96, 96), stride=8), {"levels": 3}, "got 8"),
    ],
)
def test_options_that_do_not_fit_are_refused(codec, options: dict, said: str) -> None:
    with pytest.raises(VitruvianError, match=said):
        build_model("unet", 5, codec, **options)


def test_sides_that_the_poolings_do_not_divide_are_refused() -> None:
    with pytest.raises(ShapeError, match="multiples of 16, got 40 x 32"):
        UNet(5, CODEC, width=2)(torch.zeros(1, 3, 32, 40))
