"""Harmonic convolution: its filters and its product against written-out loops, angles in between, the kept filter."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F

from vitruvian.errors import ShapeError
from vitruvian.models.layers.harmonic import HConv


def _seeded(rng: np.random.Generator) -> None:
    torch.manual_seed(int(rng.integers(2**31)))


def _relative(found: Any, expected: Any) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _count(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


def _complex(conv: HConv) -> Any:
    return torch.complex(*conv.filters())


def test_parameters_of_one_convolution() -> None:
    """A weight and a phase a ring and pair of channels, and the centre's weight for pairs of equal order."""
    assert _count(HConv((32, 32), (32, 32))) == 10_240
    assert _count(torch.nn.Conv2d(64, 64, 3, bias=False)) == 36_864
    assert _count(HConv((3, 2, 1), (4, 5), 7)) == 2 * 3 * (6 * 9) + (3 * 4 + 2 * 5)


def _filter_by_loops(conv: HConv, stretched: bool) -> np.ndarray:
    """R(r) exp(i (m phi + beta)) at every point of every ring, the mean of which a tap takes by Gaussian distance."""
    size, orders = conv.size, lambda s: [n for n, c in enumerate(s) for _ in range(c)]
    orders_in, orders_out = orders(conv.streams_in), orders(conv.streams_out)
    taps = [-size / 2 + i * size / (size - 1) if stretched else i - size // 2 for i in range(size)]
    blob = lambda x, y: math.exp(-(x * x + y * y) / (2 * 0.5**2))  # noqa: E731
    points = [(r, 2 * math.pi * a / (4 * (size - 1))) for r in range(1, size // 2 + 1) for a in range(4 * (size - 1))]
    all_taps = sum(blob(x, y) for x in taps for y in taps)
    found = np.zeros((len(orders_out), len(orders_in), size, size), complex)
    for o, n_out in enumerate(orders_out):
        for i, n_in in enumerate(orders_in):
            radial, phase = conv.radial[o, i].tolist(), conv.phase[o, i].tolist()
            values = [radial[r - 1] * np.exp(1j * ((n_in - n_out) * phi + phase[r - 1])) for r, phi in points]
            for row, y in enumerate(taps):
                for column, x in enumerate(taps):
                    near = [blob(x - r * math.cos(phi), y - r * math.sin(phi)) for r, phi in points]
                    found[o, i, row, column] = np.dot(near, values) / sum(near)
                    if n_in == n_out:
                        first = (orders_out.index(n_out), orders_in.index(n_in))
                        weight = conv.centre[str(n_in)][o - first[0], i - first[1]].item()
                        found[o, i, row, column] += weight * blob(x, y) / all_taps * (1 + 1j if stretched else 1)
    return found


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("size", [3, 5])
def test_filters_are_the_formula(size: int, stretched: bool, rng: np.random.Generator) -> None:
    _seeded(rng)
    conv = HConv((2, 0, 1), (1, 2), size, stretched).double()
    np.testing.assert_allclose(_complex(conv).detach().numpy(), _filter_by_loops(conv, stretched), atol=1e-6)


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("product", ["stacked", "steered"])
@pytest.mark.parametrize(
    ("streams_in", "streams_out", "real"),
    [
        ((2, 1), (1, 2), ""),
        ((3,), (1, 1, 1), "input"),
        ((3,), (3,), "output"),
        ((1, 0, 2), (0, 1, 1, 1), ""),
        ((2,), (2,), "both"),
    ],
)
def test_it_is_the_complex_convolution(
    streams_in: Any, streams_out: Any, real: str, product: str, size: int, stretched: bool, rng: np.random.Generator
) -> None:
    """Both ways of computing it, against loops over channels and taps."""
    _seeded(rng)
    sides = {"real_input": real in ("input", "both"), "real_output": real in ("output", "both")}
    sides |= {"bias": sides["real_output"]}
    conv = HConv(streams_in, streams_out, size, stretched, product=product, **sides).double()
    assert conv.steered == (product == "steered")
    if conv.bias is not None:
        torch.nn.init.normal_(conv.bias)
    reach, ins, outs = size // 2, sum(streams_in), sum(streams_out)
    z = torch.randn(2, ins, 6, 5, dtype=torch.complex128)
    if sides["real_input"]:
        z.imag.zero_()
    padded, weight = F.pad(z, (reach,) * 4), _complex(conv).detach()
    expected = torch.zeros(2, outs, 6, 5, dtype=torch.complex128)
    for o in range(outs):
        for i in range(ins):
            for dy in range(size):
                for dx in range(size):
                    expected[:, o] += weight[o, i, dy, dx] * padded[:, i, dy : dy + 6, dx : dx + 5]
    x = z.real if sides["real_input"] else torch.cat([z.real, z.imag], 1)
    wanted = expected.real if sides["real_output"] else torch.cat([expected.real, expected.imag], 1)
    wanted = wanted if conv.bias is None else wanted + conv.bias.detach()[:, None, None]
    assert _relative(conv(x), wanted) < 1e-7  # the basis is rounded to float32 before it is double


@pytest.mark.parametrize("stretched", [False, True])
def test_both_products_learn_alike(stretched: bool, rng: np.random.Generator) -> None:
    """Gradients of all parameters and of the input agree."""
    _seeded(rng)
    stacked = HConv((3, 2, 1), (2, 2), 5, stretched, product="stacked").double()
    steered = HConv((3, 2, 1), (2, 2), 5, stretched, product="steered").double()
    steered.load_state_dict(stacked.state_dict())
    x = torch.randn(2, 12, 7, 6, dtype=torch.float64)
    slopes = []
    for conv in (stacked, steered):
        given = x.clone().requires_grad_()
        conv(given).square().sum().backward()
        slopes.append([given.grad, *(p.grad for _, p in sorted(conv.named_parameters()))])
    for one, two in zip(*slopes, strict=True):
        assert _relative(one, two) < 1e-10


def test_the_product_is_chosen_by_width() -> None:
    with torch.device("meta"):
        assert HConv((32, 32), (64, 0)).steered
        assert not HConv((32, 32), (1,), real_output=True).steered
        assert not HConv((64,), (64,), product="stacked").steered
        assert not HConv((3,), (32, 32), real_input=True).steered


def test_order_0_alone_is_a_plain_convolution_with_round_filters(rng: np.random.Generator) -> None:
    """With no phase the filters are real, and taps at one distance have one weight."""
    _seeded(rng)
    conv = HConv((2,), (3,), 5)
    torch.nn.init.zeros_(conv.phase)
    real, imag = conv.filters()
    assert not imag.any()
    y, x = np.mgrid[-2:3, -2:3]
    for square in (1, 2, 4, 5, 8):
        same = real[:, :, torch.from_numpy(x * x + y * y == square)]
        assert torch.equal(same, same[..., :1].expand_as(same))
    assert (real[:, :, 2, 2] != real[:, :, 2, 3]).all()
    picture = torch.randn(2, 2, 7, 6)
    found = conv(torch.cat([picture, torch.zeros_like(picture)], 1))
    assert _relative(found[:, :3], F.conv2d(picture, real, padding=2)) < 1e-5
    assert not found[:, 3:].any()


def test_first_weights_have_the_librarys_deviation(rng: np.random.Generator) -> None:
    _seeded(rng)
    conv = HConv((40, 80), (60, 30), 5)
    for rows, c_out in ((slice(0, 60), 60), (slice(60, 90), 30)):
        for columns, c_in in ((slice(0, 40), 40), (slice(40, 120), 80)):
            expected = 2 / math.sqrt(c_in * c_out * 25)
            assert conv.radial[rows, columns].std().item() == pytest.approx(expected, rel=0.1)
    assert conv.centre["1"].std().item() == pytest.approx(2 / math.sqrt(80 * 30 * 25), rel=0.1)
    assert conv.phase.min() >= 0
    assert math.pi < conv.phase.max() < 2 * math.pi


def _error_at(conv: HConv, angle: float, wavelength: float) -> float:
    """Relative error of the middle pixel when smooth fields, known everywhere, turn by an angle.

    The fields are sums of waves no shorter than ``wavelength`` pixels, so nothing is interpolated here. Angles are
    counter-clockwise on the screen, where rows point down.
    """
    reach, streams = conv.size // 2, (conv.streams_in, conv.streams_out)
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0, dtype=torch.float64)] * 2, indexing="ij")
    order_in, order_out = (torch.cat([torch.full((c,), n).double() for n, c in enumerate(s)]) for s in streams)
    shape = (300, len(order_in), 4, 1, 1)
    speed = 2 * math.pi / wavelength * torch.rand(shape, dtype=torch.float64).sqrt()
    direction = 2 * math.pi * torch.rand(shape, dtype=torch.float64)
    height = torch.randn(shape, dtype=torch.complex128)

    def middle(turn: float) -> Any:
        d = direction - turn
        field = (height * torch.exp(1j * speed * (d.cos() * x + d.sin() * y))).sum(2)
        field = field * torch.exp(1j * turn * order_in)[:, None, None]
        return torch.complex(*conv(torch.cat([field.real, field.imag], 1))[:, :, reach, reach].chunk(2, 1))

    with torch.no_grad():
        expected = middle(0.0) * torch.exp(1j * angle * order_out)
        return ((middle(angle) - expected).abs().square().mean() / expected.abs().square().mean()).sqrt().item()


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize(("size", "wavelength", "bound"), [(3, 8, 0.04), (3, 12, 0.015), (5, 8, 0.15), (5, 12, 0.05)])
def test_45_degrees_within_bounds(
    size: int, wavelength: float, bound: float, stretched: bool, rng: np.random.Generator
) -> None:
    """Measured 0.010, 0.003, 0.05 and 0.017, the same on both grids; the same fields show exactness at 90 degrees."""
    _seeded(rng)
    conv = HConv((8, 8), (8, 8), size, stretched).double()
    error = _error_at(conv, math.pi / 4, wavelength)
    assert 1e-4 < error < bound
    assert _error_at(conv, -math.pi / 2, wavelength) < 1e-12
    assert _error_at(copy.deepcopy(conv).relax(), math.pi / 2, wavelength) < 1e-12
    with torch.no_grad():
        conv.relax().kernel.normal_()
    assert _error_at(conv, math.pi / 2, wavelength) > 0.3


def test_the_filter_is_kept_only_while_it_is_right(rng: np.random.Generator) -> None:
    _seeded(rng)
    conv, other = HConv((2, 1), (2, 1)).eval(), HConv((2, 1), (2, 1))
    x = torch.randn(1, 6, 4, 4)
    with torch.no_grad():
        assert conv._weights()[0] is conv._weights()[0]
        for change in (
            lambda: conv.radial.mul_(2),
            lambda: torch.optim.SGD([conv.phase], lr=0.1).step(lambda: conv.phase.grad.sum().item()),
            lambda: conv.load_state_dict(other.state_dict()),
            lambda: conv.double(),
        ):
            conv.phase.grad = torch.ones_like(conv.phase)
            old = conv._weights()[0]
            change()
            assert conv._weights()[0] is not old
            fresh = copy.deepcopy(conv)
            assert torch.equal(conv._weights()[0], fresh._assembled()[0])
        assert conv.train()._weights()[0] is not conv._weights()[0]
    assert conv.eval()._weights()[0].requires_grad
    with torch.inference_mode():
        kept = conv._weights()[0]
    with torch.no_grad():
        assert torch.equal(conv(x.double()), F.conv2d(x.double(), kept, padding=1))


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("product", ["stacked", "steered"])
def test_channels_last_changes_nothing(product: str, relaxed: bool, rng: np.random.Generator) -> None:
    _seeded(rng)
    conv, x = HConv((2, 1), (2, 2), product=product), torch.randn(2, 6, 5, 4)
    conv = conv.relax() if relaxed else conv
    expected = conv(x)
    conv.to(memory_format=torch.channels_last)
    assert _relative(conv(x.contiguous(memory_format=torch.channels_last)), expected) < 1e-5


def test_half_precision_does_not_reach_the_filters() -> None:
    conv = HConv((4, 4), (4, 4))
    expected = _complex(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.randn(1, 16, 4, 4)).dtype == torch.bfloat16
        assert torch.equal(_complex(conv), expected)


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="only order 0 can be real"):
        HConv((2, 1), (2,), real_input=True)
    with pytest.raises(ShapeError, match="product is one of"):
        HConv((2, 1), (2,), product="fast")
    with pytest.raises(ShapeError, match="bias needs real_output"):
        HConv((2, 1), (2,), bias=True)
    with pytest.raises(ShapeError, match="6 channels here"):
        HConv((2, 1), (2,))(torch.zeros(1, 3, 4, 4))


def test_a_filter_is_not_kept_over_a_step_of_training(rng: np.random.Generator) -> None:
    """As Lightning trains: modes are set without `train`, weights are swapped through ``data``, and fused optimisers do
    not count their changes.
    """
    _seeded(rng)
    conv, x = HConv((2, 1), (2, 1)), torch.randn(1, 6, 5, 5)
    optimizer = torch.optim.AdamW(conv.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        conv.eval()
        with torch.no_grad():
            found = conv(x)
        fresh = HConv((2, 1), (2, 1)).eval()
        fresh.load_state_dict(conv.state_dict())
        with torch.no_grad():
            assert torch.equal(found, fresh(x))
        conv.training = True
        conv(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        for parameter in conv.parameters():
            parameter.data.copy_(parameter.data + 0.3 * torch.randn_like(parameter))
