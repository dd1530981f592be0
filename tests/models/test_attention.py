"""Attention: each kind against its formula written out, where maps are applied, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.models import build_model
from vitruvian.models.layers.attention import (
    ATTENTION,
    CrfAttention,
    GaussianAttention,
    Localiser,
    SoftmaxAttention,
    TransformerAttention,
    affine_sample,
    gaussian_bank,
)

_SCOPES = ("holistic", "part", "both")
_CODEC = HeatmapCodec(size_wh=(64, 96))


def _normal(rng: np.random.Generator, *shape: int, dtype: Any = torch.float32) -> Any:
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _net(rng: np.random.Generator, joints: int = 3, **options: Any) -> Any:
    torch.manual_seed(int(rng.integers(1 << 30)))
    return build_model("attention_resnet_18", joints, _CODEC, **{"width": 8, **options})


def _awake(network: Any) -> Any:
    """Localisers start with weights of 0, whatever the picture; here they have begun to look."""
    for layer in network.modules():
        if isinstance(layer, Localiser):
            torch.nn.init.normal_(layer.numbers.weight, std=0.1)
    return network


def test_softmax_over_all_locations(rng: np.random.Generator) -> None:
    features = _normal(rng, 2, 5, 6, 4)
    brick = SoftmaxAttention(5, 3, mean_one=False)
    with torch.no_grad():
        maps = brick(features)
        score = F.conv2d(features, brick.score.weight, padding=1)
    torch.testing.assert_close(maps.sum((-2, -1)), torch.ones(2, 3))
    ratio = maps[:, :, 2, 3] / maps[:, :, 5, 0]
    torch.testing.assert_close(ratio, torch.exp(score[:, :, 2, 3] - score[:, :, 5, 0]))
    brick.mean_one = True
    with torch.no_grad():
        torch.testing.assert_close(brick(features), maps * 24)


@pytest.mark.parametrize("iterations", [1, 3])
def test_crf_of_kernel_1_is_the_pointwise_recursion(iterations: int, rng: np.random.Generator) -> None:
    brick = CrfAttention(5, 2, kernel=1, iterations=iterations).double()
    torch.nn.init.normal_(brick.kernel.weight)
    features = _normal(rng, 2, 5, 4, 3, dtype=torch.float64)
    with torch.no_grad():
        found, unary = brick(features).numpy(), brick.unary(features).numpy()
    for m in range(2):
        weight = brick.kernel.weight[m, 0, 0, 0].item()
        for u in np.ndindex(2, 4, 3):
            value = unary[u[0], m, u[1], u[2]]
            chance = _sigmoid(weight * value + value)
            for _ in range(iterations - 1):
                chance = _sigmoid(weight * chance + value)
            assert found[u[0], m, u[1], u[2]] == pytest.approx(chance, abs=1e-12)


@pytest.mark.parametrize("kernel", [3, 11])
def test_mean_field_steps_against_loops(kernel: int, rng: np.random.Generator) -> None:
    """The first step convolves the unary, the second the first's probabilities; outside of the map there is 0."""
    brick = CrfAttention(3, 2, kernel=kernel, iterations=1).double()
    torch.nn.init.normal_(brick.kernel.weight)
    features = _normal(rng, 1, 3, 5, 4, dtype=torch.float64)
    weight, reach = brick.kernel.weight.detach().numpy(), kernel // 2

    def step(before: np.ndarray, unary: np.ndarray) -> np.ndarray:
        after = np.empty_like(unary)
        for m, y, x in np.ndindex(2, 5, 4):
            total = unary[m, y, x]
            for j, i in np.ndindex(5, 4):
                if abs(j - y) <= reach and abs(i - x) <= reach:
                    total += weight[m, 0, j - y + reach, i - x + reach] * before[m, j, i]
            after[m, y, x] = _sigmoid(total)
        return after

    with torch.no_grad():
        unary = brick.unary(features)[0].numpy()
        once = step(unary, unary)
        np.testing.assert_allclose(brick(features)[0].numpy(), once, atol=1e-12)
        brick.iterations = 2
        np.testing.assert_allclose(brick(features)[0].numpy(), step(once, unary), atol=1e-12)


def test_gaussian_rows(rng: np.random.Generator) -> None:
    """Row i: exp(-(x - first - i spacing)^2 / 2 sigma^2) over its sum, x the pixels' centres between -1 and 1."""
    first, spacing, sigma = rng.uniform(-0.8, 0.2), rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.5)
    one = lambda value: torch.tensor([value], dtype=torch.float64)  # noqa: E731
    bank = gaussian_bank(one(first), one(spacing), one(sigma), 4, 12)[0].numpy()
    for i in range(4):
        row = [math.exp(-(((2 * u + 1) / 12 - 1 - first - i * spacing) ** 2) / (2 * sigma**2)) for u in range(12)]
        np.testing.assert_allclose(bank[i], np.array(row) / sum(row), atol=1e-12)
    far = gaussian_bank(one(50.0), one(1.0), one(0.1), 2, 12)[0].numpy()
    np.testing.assert_allclose(far, np.eye(12)[[11, 11]], atol=1e-12)  # no 0 / 0: all of it at the nearest pixel


def test_gaussian_map_is_an_outer_product(rng: np.random.Generator) -> None:
    brick = GaussianAttention(5, 2, filters=3, mean_one=False)
    numbers = torch.tensor([[-0.5, 0.1, -0.2, 0.3, -0.4, 0.2], [0.0, 0.0, 0.0, -0.9, 0.5, 0.1]])
    with torch.no_grad():
        brick.localiser.numbers.bias.copy_(numbers.flatten())
        maps = brick(_normal(rng, 1, 5, 6, 8))[0].numpy()
    assert maps.sum((-2, -1)) == pytest.approx([1, 1], abs=1e-5)
    for m in range(2):
        sides = []
        for (first, spacing, sigma), size in ((numbers[m, 3:], 6), (numbers[m, :3], 8)):
            gap, width = (2 / 3 * math.exp(2 * math.tanh(spacing))), (1 / 3 * math.exp(2 * math.tanh(sigma)))
            bank = gaussian_bank(first, torch.tensor(gap), torch.tensor(width), 3, size)
            sides.append(bank.mean(0).numpy())
        np.testing.assert_allclose(maps[m], np.outer(*sides), atol=1e-6)


def test_gaussians_start_spread_over_the_map(rng: np.random.Generator) -> None:
    brick = GaussianAttention(5, 1, filters=3)
    numbers = brick.localiser(_normal(rng, 2, 5, 6, 8)).detach()
    torch.testing.assert_close(numbers[..., 0] + 2 / 3, torch.zeros(2, 1))  # centres at -2/3, 0 and 2/3
    maps = brick(_normal(rng, 2, 5, 48, 64)).detach()
    torch.testing.assert_close(maps[0], maps[1])
    torch.testing.assert_close(maps, maps.flip(-1).flip(-2))
    assert maps.mean().item() == pytest.approx(1, abs=1e-4)


def test_the_spatial_transformer_starts_at_the_identity(rng: np.random.Generator) -> None:
    brick, features = TransformerAttention(5, 3), _normal(rng, 2, 5, 6, 4)
    with torch.no_grad():
        torch.testing.assert_close(brick(features), torch.sigmoid(brick.gate(features)), atol=1e-5, rtol=1e-5)


def test_affine_sampling(rng: np.random.Generator) -> None:
    """Shifts by whole pixels, a mirror, a quarter turn, half a pixel, and each map by its own."""
    maps = _normal(rng, 1, 5, 6, 6)
    read = lambda *theta: affine_sample(maps, torch.tensor(theta).expand(1, 5, 6))[0].numpy()  # noqa: E731
    given = maps[0].numpy()
    zeros = np.zeros((5, 6, 1), np.float32)
    np.testing.assert_allclose(
        read(1, 0, 2 / 6, 0, 1, 0.0), np.concatenate([given[:, :, 1:], zeros], 2), atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(read(-1, 0, 0, 0, 1, 0.0), given[:, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(read(0, 1, 0, 1, 0, 0.0), given.transpose(0, 2, 1), atol=1e-5)
    halves = (given + np.concatenate([given[:, 1:], zeros.transpose(0, 2, 1)], 1)) / 2
    np.testing.assert_allclose(read(1, 0, 0, 0, 1, 1 / 6), halves, atol=1e-5)
    own = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(1, 5, 1)
    own[0, 3] = torch.tensor([0.0, 1, 0, 1, 0, 0])
    found = affine_sample(maps, own)[0].numpy()
    np.testing.assert_allclose(found[2], given[2], atol=1e-5)
    np.testing.assert_allclose(found[3], given[3].T, atol=1e-5)


def test_the_localiser_follows_a_bright_spot() -> None:
    """A landmark's mean is the spot's position and its spread the spot's; the linear layer is read out by ones."""
    localiser = Localiser(1, 1, (0.25,), landmarks=1)
    torch.nn.init.ones_(localiser.landmarks.weight)
    features = torch.zeros(1, 1, 5, 8)
    features[0, 0, 3, 1] = 100.0
    expected = {0: 3 / 8 - 1, 1: 1e-3, 2: 7 / 5 - 1, 3: 1e-3}  # x, its spread, y, its spread
    for index, value in expected.items():
        with torch.no_grad():
            localiser.numbers.weight.zero_()[0, index] = 1
            assert localiser(features).item() == pytest.approx(0.25 + value, abs=1e-6)


def test_kind_none_is_simple_baseline(rng: np.random.Generator) -> None:
    baseline = build_model("simple_baseline_18", 3, _CODEC, width=8).eval()
    network = _net(rng, kind="none").eval()
    assert list(network.state_dict()) == list(baseline.state_dict())
    network.load_state_dict(baseline.state_dict())
    images = _normal(rng, 2, 3, 96, 64)
    with torch.no_grad():
        assert torch.equal(network(images)["heatmaps"], baseline(images)["heatmaps"])
        assert network.attention_maps(images) == {}


@pytest.mark.parametrize("deconvs", [3, 4])
def test_levels(deconvs: int, rng: np.random.Generator) -> None:
    """At 256x192 four levels begin at 8x6 and three at 16x12; both end at 64x48."""
    network = build_model("attention_resnet_18", 2, HeatmapCodec(), width=4, deconvs=deconvs).eval()
    with torch.no_grad():
        levels = network._levels(network.backbone(_normal(rng, 1, 3, 256, 192)))  # type: ignore[operator]
    sizes = [tuple(level.shape[-2:]) for level in levels]
    assert sizes == [(8, 6), (16, 12), (32, 24), (64, 48)][4 - deconvs :]


@pytest.mark.parametrize("scope", _SCOPES)
@pytest.mark.parametrize("kind", sorted(ATTENTION))
def test_every_parameter_learns_and_maps_have_the_heatmaps_size(
    kind: str, scope: str, rng: np.random.Generator
) -> None:
    network = _awake(_net(rng, kind=kind, scope=scope, deconvs=4, crf_kernel=3, part_mix=scope != "holistic")).train()
    images = _normal(rng, 2, 3, 96, 64)
    heatmaps = network(images)["heatmaps"]
    (heatmaps * _normal(rng, *heatmaps.shape)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name
    with torch.no_grad():
        maps = network.attention_maps(images)  # in training: norms that have seen one batch let almost nothing through
    expected = {"holistic": (2, 1, 24, 16), "part": (2, 3, 24, 16)}
    assert {k: tuple(v.shape) for k, v in maps.items()} == {k: v for k, v in expected.items() if scope in (k, "both")}
    assert all((value >= 0).all() and value.std() > 0 for value in maps.values())


@pytest.mark.parametrize("legacy_mul", [False, True])
def test_holistic_attention_by_hand(legacy_mul: bool, rng: np.random.Generator) -> None:
    network = _net(rng, scope="holistic", deconvs=4, legacy_mul=legacy_mul).eval()
    images = _normal(rng, 1, 3, 96, 64)
    with torch.no_grad():
        levels = network._levels(network.backbone(images))
        maps = [brick(level) for brick, level in zip(network.holistic, levels, strict=True)]
        enlarged = lambda x: np.kron(x[0].numpy(), np.ones((1, 24 // x.shape[2], 24 // x.shape[2])))  # noqa: E731
        total = sum(enlarged(m) for m in maps)
        if legacy_mul:
            seen = sum(enlarged(level * m) for level, m in zip(levels, maps, strict=True))
        else:
            seen = levels[-1][0].numpy() * total
        expected = network.head.project(torch.from_numpy(seen).float()[None]).numpy()
        np.testing.assert_allclose(network(images)["heatmaps"].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(network.attention_maps(images)["holistic"][0].numpy(), total, atol=1e-5)


@pytest.mark.parametrize("mix", [False, True])
def test_part_attention_is_a_convolution_a_joint_on_attended_features(mix: bool, rng: np.random.Generator) -> None:
    """On the result of holistic attention; then 1x1 among the joints, the identity until it has learned."""
    network = _net(rng, scope="both", part_mix=mix).eval()
    images = _normal(rng, 1, 3, 96, 64)
    torch.nn.init.normal_(network.head.project.bias)
    with torch.no_grad():
        features = network._features(images)[0]
        maps, project = network.attention_maps(images), network.head.project
        torch.testing.assert_close(features, network._levels(network.backbone(images))[-1] * maps["holistic"])
        own = [
            F.conv2d(features * maps["part"][:, k : k + 1], project.weight[k : k + 1], project.bias[k : k + 1])
            for k in range(3)
        ]
        expected = torch.cat(own, dim=1)
        torch.testing.assert_close(network(images)["heatmaps"], expected)
        if mix:
            torch.nn.init.normal_(network.head.mix.weight)
            mixed = torch.einsum("jk,bkhw->bjhw", network.head.mix.weight[:, :, 0, 0], expected)
            torch.testing.assert_close(network(images)["heatmaps"], mixed)


def test_numbers_of_parameters_by_counting() -> None:
    def count(**options: Any) -> int:
        with torch.device("meta"):
            network = build_model("attention_resnet_18", 17, HeatmapCodec(), **options)
        return sum(p.numel() for p in network.parameters())

    plain, gate, localiser = count(kind="none"), 9 * 256, lambda maps: 16 * 256 + (64 + 1) * 6 * maps
    assert count(kind="softmax") - plain == (3 + 17) * gate
    assert count(kind="crf", crf_kernel=1) - plain == (3 + 17) * (gate + 1 + 1)
    assert count(kind="gaussian") - plain == 3 * localiser(1) + localiser(17)
    assert count(kind="stn", scope="part", part_mix=True) - plain == 17 * (gate + 1) + localiser(17) + 17 * 18
    assert count(kind="stn", scope="holistic") - plain == 3 * (gate + 1 + localiser(1))
    # A 3x3 level before the others, of which the first then sees 256 channels instead of ResNet-18's 512.
    assert count(kind="none", deconvs=4) - plain == 9 * 512 * 256 + 2 * 256 + 16 * 256 * (256 - 512)


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        (SimccCodec(), {}, "heatmaps of stride 4"),
        (HeatmapCodec(stride=8), {}, "heatmaps of stride 4"),
        (_CODEC, {"deconvs": 5}, "deconvs is 3"),
        (_CODEC, {"deconvs": [3]}, "deconvs"),
        (_CODEC, {"width": 0}, "width"),
        (_CODEC, {"kind": "soft"}, "softmax"),
        (_CODEC, {"scope": "whole"}, "holistic"),
        (_CODEC, {"crf_kernel": 4}, "odd"),
        (_CODEC, {"crf_iterations": 0}, "crf_iterations"),
        (_CODEC, {"kind": "gaussian", "gaussians": 0}, "gaussians"),
        (_CODEC, {"scope": "part", "legacy_mul": True}, "legacy_mul"),
        (_CODEC, {"kind": "none", "legacy_mul": True}, "legacy_mul"),
        (_CODEC, {"scope": "holistic", "part_mix": True}, "part_mix"),
    ],
)
def test_what_cannot_be_is_refused(codec: Any, options: dict, said: str) -> None:
    with pytest.raises(VitruvianError, match=said):
        build_model("attention_resnet_18", 17, codec, **options)
