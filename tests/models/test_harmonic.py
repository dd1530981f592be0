"""Harmonic networks: published parameter counts, and what turning a picture does to every brick and the whole."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, PixelsCodec, SimccCodec
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.models.harmonic import FAITHFUL, HarmonicUNet
from vitruvian.models.layers.harmonic import HConv, added_streams, cat_orders, magnitude, scaled, sum_magnitudes
from vitruvian.models.layers.harmonic_blocks import (
    GATES,
    NORMS,
    CRelu,
    HarmonicBlock,
    HarmonicStyle,
    HarmonicUp,
    LibraryNorm,
    MagnitudeNorm,
    ScalarGate,
    StreamDropout,
)

_STREAMS = (3, 2, 1)
_SMALL = ((3, 2), (4, 3, 1), (4, 4))
_MASK = PixelsCodec(size_wh=(32, 32), heads=("mask",))


def _seeded(rng: np.random.Generator) -> None:
    torch.manual_seed(int(rng.integers(2**31)))


def _turned(x: Any, streams: tuple[int, ...], turns: int = 1) -> Any:
    """What turning the picture by 90 degrees counter-clockwise must do: turn the maps, order n times i ** n."""
    orders = torch.cat([torch.full((c,), n) for n, c in enumerate(streams)])
    moved = torch.rot90(torch.complex(*x.double().chunk(2, 1)), turns, (2, 3))
    moved = moved * torch.tensor([1, 1j, -1, -1j], dtype=torch.complex128)[turns * orders % 4][:, None, None]
    return torch.cat([moved.real, moved.imag], 1).to(x.dtype)


def _relative(found: Any, expected: Any) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _away_from_start(network: Any) -> Any:
    """Running statistics and biases that are not 0 and 1, where a mistake would not show."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, MagnitudeNorm):
                module.running_mean.normal_().mul_(module.centred)
                module.running_power.uniform_(0.5, 2)
            if isinstance(module, CRelu):
                module.bias.normal_()
    return network


# --- counts ----------------------------------------------------------------------------------------------------------


def _count(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


def _counted(levels: tuple[tuple[int, ...], ...], outputs: int, gate: Callable[[int], int]) -> int:
    def conv(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return sum(i * j * (3 if m == n else 2) for m, i in enumerate(a) for n, j in enumerate(b))

    unit = lambda a, b: conv(a, b) + gate(sum(b))  # noqa: E731
    block = lambda a, b: unit(a, b) + unit(b, b)  # noqa: E731
    total = sum(block(a, b) for a, b in zip(((3,), *levels), levels, strict=False))
    for fine, coarse in itertools.pairwise(levels):
        total += unit(coarse, fine) + block(tuple(2 * c for c in fine), fine)
    return total + conv(levels[0], (outputs,))


def test_parameters_of_the_system() -> None:
    """13,430,240 is reached with gates of one layer (the library's 2d default)."""
    levels = tuple((32 * 2**i, 32 * 2**i) for i in range(5))
    scalar = lambda c: c * c + c  # noqa: E731
    with torch.device("meta"):
        faithful = HarmonicUNet(25, PixelsCodec(heads=("mask",)), **FAITHFUL)
        assert _count(faithful) == _counted(levels, 2, scalar) == 13_430_240
        two = HarmonicUNet(25, PixelsCodec(heads=("mask",)), **FAITHFUL, gate="scalar2")
        assert _count(two) == _counted(levels, 2, lambda c: 2 * scalar(c))
        crelu = HarmonicUNet(25, PixelsCodec(heads=("mask", "heat", "classes")), gate="crelu")
        assert _count(crelu) == _counted(levels, 2 + 1 + 26, lambda c: c) + 2 + 1 + 26


# --- turning ---------------------------------------------------------------------------------------------------------

_BRICKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv": (lambda: HConv(_STREAMS, (2, 3, 0, 1)), (2, 3, 0, 1)),
    "conv 5x5": (lambda: HConv(_STREAMS, (2, 3), 5), (2, 3)),
    "conv stretched": (lambda: HConv(_STREAMS, (2, 3), stretched=True), (2, 3)),
    "conv steered": (lambda: HConv(_STREAMS, (2, 3), product="steered"), (2, 3)),
    "conv steered 5x5": (lambda: HConv(_STREAMS, (2, 3, 1), 5, product="steered"), (2, 3, 1)),
    "conv steered stretched": (lambda: HConv(_STREAMS, (2, 3), stretched=True, product="steered"), (2, 3)),
    "norm": (lambda: MagnitudeNorm(_STREAMS), _STREAMS),
    "library norm": (lambda: LibraryNorm(_STREAMS), _STREAMS),
    "gate": (lambda: ScalarGate(_STREAMS), _STREAMS),
    "gate of two layers": (lambda: ScalarGate(_STREAMS, 2), _STREAMS),
    "C-ReLU": (lambda: CRelu(_STREAMS), _STREAMS),
    "up": (lambda: HarmonicUp(_STREAMS, (2, 3), HarmonicStyle()), (2, 3)),
    "block": (lambda: HarmonicBlock(_STREAMS, (2, 3), HarmonicStyle(gate="crelu"), 0.3), (2, 3)),
    "pooling": (lambda: torch.nn.AvgPool2d(2), _STREAMS),
    # With itself, of which the channels 0, 3 and 4 are of orders 0, 1 and 1.
    "joining": (lambda: lambda x: cat_orders(x, _STREAMS, 2 * x[:, [0, 3, 4, 6, 9, 10]], (1, 2)), (4, 4, 1)),
}


@pytest.mark.parametrize("shape", [(7, 9), (5, 5), (8, 6)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", sorted(_BRICKS))
def test_every_brick_turns_by_90_degrees(
    name: str, training: bool, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    """At odd and even sizes, in both modes; only pooling by 2 needs even sizes."""
    _seeded(rng)
    brick, streams_out = _BRICKS[name][0](), _BRICKS[name][1]
    if isinstance(brick, torch.nn.Module):
        # Double: C-ReLU has no limit at 0, and with a positive bias enlarges float32's rounding there.
        _away_from_start(brick).double().train(training)
    x, seed = torch.randn(2, 2 * sum(_STREAMS), *shape, dtype=torch.float64), int(rng.integers(2**31))
    for turns in (1, 2, 3):
        torch.manual_seed(seed)  # the same channels drop out
        expected = _turned(brick(x), streams_out, turns)
        torch.manual_seed(seed)
        error = _relative(brick(_turned(x, _STREAMS, turns)), expected)
        if name == "pooling" and shape != (8, 6):
            assert error > 1e-2
        else:
            assert error < 1e-5


@pytest.mark.parametrize("options", [{}, {"gate": "crelu", "size": 5}, {**FAITHFUL, "gate": "scalar2"}], ids=str)
def test_the_network_turns_by_90_degrees(options: dict[str, Any], rng: np.random.Generator) -> None:
    """At all sizes it takes: multiples of 2 ** (levels - 1), odd ones too."""
    _seeded(rng)
    codec = PixelsCodec(size_wh=(32, 32), heads=("mask", "classes"))
    network = HarmonicUNet(4, codec, _SMALL, **options)
    for _ in range(3):  # running statistics of what really comes
        network(torch.randn(2, 3, 16, 16))
    network.eval()
    for height, width in ((12, 20), (16, 24)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            upright = network(images)
            for turns in (1, 2, 3):
                for head, maps in network(torch.rot90(images, turns, (2, 3))).items():
                    assert _relative(maps, torch.rot90(upright[head], turns, (2, 3))) < 1e-5


def test_pictures_of_a_batch_may_turn_apart_with_running_statistics_only(rng: np.random.Generator) -> None:
    """A mean over pictures that lie differently is not the mean of any; the library takes it from order 1 too."""
    _seeded(rng)
    x = torch.randn(2, 10, 6, 6) + torch.randn(1, 10, 1, 1)
    apart = torch.cat([x[:1], _turned(x[1:], (3, 2), 1)])
    errors = {}
    for name, norm in NORMS.items():
        brick = norm((3, 2)).train()
        errors[name] = _relative(brick(apart)[1:], _turned(brick(x)[1:], (3, 2), 1))
    assert errors["running"] < 1e-5
    assert errors["library"] > 1e-2


def test_summed_magnitudes_are_invariant(rng: np.random.Generator) -> None:
    _seeded(rng)
    streams = (4, 4, 4)
    layers = torch.nn.Sequential(HConv((3,), streams, real_input=True), CRelu(streams), HConv(streams, streams))
    picture = torch.randn(2, 3, 9, 8)
    summed = sum_magnitudes(layers(picture), streams)
    assert tuple(summed.shape) == (2, 4, 9, 8)
    by_hand = sum(torch.complex(*layers(picture).chunk(2, 1))[:, 4 * n : 4 * n + 4].abs() for n in range(3))
    assert _relative(summed, by_hand) < 1e-4
    for turns in (1, 2, 3):
        turned = sum_magnitudes(layers(torch.rot90(picture, turns, (2, 3))), streams)
        assert _relative(turned, torch.rot90(summed, turns, (2, 3))) < 1e-5
        assert _relative(turned.mean((2, 3)), summed.mean((2, 3))) < 1e-5
    with pytest.raises(ShapeError, match="same channels"):
        sum_magnitudes(torch.zeros(1, 10, 2, 2), (3, 2))


# --- bricks ----------------------------------------------------------------------------------------------------------


def test_running_statistics(rng: np.random.Generator) -> None:
    """Order 0: mean 0 and mean square 1; other orders: mean square 1 and their own mean. Eval uses what was seen."""
    _seeded(rng)
    norm = MagnitudeNorm((2, 1), momentum=0.25)
    x = 3 * torch.randn(4, 6, 9, 8) + torch.tensor([1.0, -2, 5, 4, 0, 2])[:, None, None]
    z = torch.complex(*x.double().chunk(2, 1))
    y = torch.complex(*norm(x).double().chunk(2, 1))
    power = lambda v: v.abs().square().mean((0, 2, 3))  # noqa: E731
    np.testing.assert_allclose(power(y).detach(), 1, rtol=1e-4)
    assert y[:, :2].mean((0, 2, 3)).abs().max() < 1e-5
    np.testing.assert_allclose(y[:, 2].mean(), z[:, 2].mean() / power(z)[2].sqrt(), rtol=1e-4)
    mean = torch.cat([z.mean((0, 2, 3))[:2], torch.zeros(1)])
    np.testing.assert_allclose(norm.running_mean, 0.25 * torch.cat([mean.real, mean.imag]), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(norm.running_power, 0.75 + 0.25 * power(z - mean[:, None, None]), rtol=1e-4)
    for _ in range(60):
        norm(x)
    before = norm.running_power.clone()
    norm.eval()
    assert _relative(torch.complex(*norm(x[:1]).double().chunk(2, 1)), y[:1]) < 1e-4  # one picture, the batch's norm
    assert torch.equal(norm.running_power, before)


def test_the_librarys_norm(rng: np.random.Generator) -> None:
    _seeded(rng)
    x = torch.randn(3, 6, 5, 4, dtype=torch.float64) + 1
    z = torch.complex(*x.chunk(2, 1))
    z = z - z.mean((0, 2, 3), keepdim=True)
    z = z / (z.abs().std((0, 2, 3), keepdim=True) + 1e-2)
    norm = LibraryNorm((2, 1)).eval()
    assert _relative(norm(x), torch.cat([z.real, z.imag], 1)) < 1e-6
    assert not list(norm.state_dict())


def test_gates(rng: np.random.Generator) -> None:
    """Closed forms; phases stay, and zero stays zero with a finite slope."""
    _seeded(rng)
    x = torch.randn(2, 6, 3, 4)
    z = torch.complex(*x.chunk(2, 1))
    crelu = _away_from_start(CRelu((2, 1)))
    expected = (z.abs() + crelu.bias.detach()[:, None, None]).clamp(min=0) * torch.exp(1j * z.angle())
    assert _relative(crelu(x), torch.cat([expected.real, expected.imag], 1)) < 1e-4
    gate = ScalarGate((2, 1), 2)
    first, second = gate.score[0], gate.score[2]
    mixed = lambda conv, v: torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], v) + conv.bias[:, None, None]  # noqa: E731
    factor = mixed(second, mixed(first, z.abs()).clamp(min=0)).sigmoid()
    assert _relative(gate(x), torch.cat([(z * factor).real, (z * factor).imag], 1)) < 1e-4
    for brick in (crelu, gate):
        zero = torch.zeros(1, 6, 2, 2, requires_grad=True)
        result = brick(zero)
        result.sum().backward()
        assert not result.any()
        assert torch.isfinite(zero.grad).all()


def test_dropout_takes_both_parts(rng: np.random.Generator) -> None:
    _seeded(rng)
    x = torch.ones(40, 20, 2, 2)
    y = StreamDropout(0.25)(x)
    real, imag = y.chunk(2, 1)
    assert torch.equal(real, imag)
    assert torch.equal(real, real[:, :, :1, :1].expand_as(real))
    np.testing.assert_allclose(y.unique(), [0, 4 / 3], rtol=1e-6)
    assert 0.6 < (y > 0).float().mean() < 0.9
    assert StreamDropout(0.25).eval()(x) is x


def test_orders_stay_together_when_joined() -> None:
    x, y = torch.arange(6.0).view(1, 6, 1, 1), 10 + torch.arange(8.0).view(1, 8, 1, 1)
    joined = cat_orders(x, (2, 1), y, (1, 2, 1))
    assert joined.flatten().tolist() == [0, 1, 10, 2, 11, 12, 13, 3, 4, 14, 5, 15, 16, 17]
    assert added_streams((2, 1), (1, 2, 1)) == (3, 3, 1)
    assert scaled(x, magnitude(x)).shape == x.shape
    with pytest.raises(ShapeError, match="6 channels"):
        cat_orders(y, (2, 1), y, (1, 2, 1))


# --- training, relaxing, keeping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", sorted(GATES))
@pytest.mark.parametrize("norm", sorted(NORMS))
@pytest.mark.parametrize("relaxed", [False, True])
def test_every_parameter_learns(gate: str, norm: str, relaxed: bool, rng: np.random.Generator) -> None:
    _seeded(rng)
    codec = PixelsCodec(size_wh=(16, 16), heads=("mask", "heat"))
    network = HarmonicUNet(4, codec, _SMALL, gate=gate, norm=norm, relaxed=relaxed, dropout=0)
    sum((v * torch.randn_like(v)).sum() for v in network(torch.randn(2, 3, 16, 16)).values()).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def test_relaxing_keeps_the_output_and_frees_the_filters(rng: np.random.Generator) -> None:
    _seeded(rng)
    network = HarmonicUNet(4, _MASK, _SMALL)
    images = torch.randn(2, 3, 8, 12)
    network(images)
    network.eval()
    with torch.no_grad():
        before = network(images)["mask"]
        relaxed = copy.deepcopy(network).relax()
        assert torch.equal(relaxed(images)["mask"], before)
    turned = lambda: torch.rot90(relaxed(torch.rot90(images, 1, (2, 3)))["mask"], -1, (2, 3))  # noqa: E731
    assert _relative(turned(), before) < 1e-5
    optimizer = torch.optim.SGD(relaxed.parameters(), lr=0.01)
    (relaxed.train()(images)["mask"] * torch.randn_like(before)).mean().backward()
    optimizer.step()
    relaxed.eval()
    after = relaxed(images)["mask"]
    assert _relative(after, before) > 1e-4
    assert _relative(turned(), after) > 1e-4
    with pytest.raises(VitruvianError, match="relaxed already"):
        relaxed.relax()


@pytest.mark.parametrize("relaxed", [False, True])
def test_state_travels(relaxed: bool, rng: np.random.Generator) -> None:
    _seeded(rng)
    codec = HeatmapCodec(size_wh=(16, 16), stride=2)
    first, second = (HarmonicUNet(3, codec, _SMALL, relaxed=relaxed).eval() for _ in range(2))
    _away_from_start(first)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert _relative(second(images)["heatmaps"], first(images)["heatmaps"]) > 1e-3
        second.load_state_dict(first.state_dict())
        assert torch.equal(second(images)["heatmaps"], first(images)["heatmaps"])
    assert tuple(first(images)["heatmaps"].shape[1:]) == codec.shapes(3)["heatmaps"]
    assert {n for n, _ in first.named_parameters()} <= set(first.state_dict())


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"streams": ((4, 4),)}, "two levels"),
        ({"streams": (4, 8)}, "channels of order"),
        ({"streams": ((0, 0), (4, 4))}, "channels of order"),
        ({"size": 4}, "odd number"),
        ({"gate": "relu"}, "gate is one of"),
        ({"norm": "batch"}, "norm one of"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        HarmonicUNet(3, _MASK, **{"streams": _SMALL, **options})


def test_codecs_and_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="heatmaps or pixels"):
        HarmonicUNet(3, SimccCodec(), _SMALL)
    with pytest.raises(ShapeError, match="got 8"):
        HarmonicUNet(3, HeatmapCodec(stride=8), _SMALL)
    with pytest.raises(ShapeError, match="multiples of 4, got 10 x 8"):
        HarmonicUNet(3, _MASK, _SMALL)(torch.zeros(1, 3, 8, 10))
    with pytest.raises(ShapeError, match="1 or 2 layers"):
        ScalarGate((2,), 3)
    for norm in NORMS.values():
        with pytest.raises(ShapeError, match="more than one value"):
            norm((2, 1)).train()(torch.zeros(1, 6, 1, 1))
