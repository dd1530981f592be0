"""What turning with the picture costs: harmonic against plain convolution, as whole U-Nets and as single layers.

The system reported its harmonic network (13.4 M parameters) 4.6 times slower in training than its U-Net (31.0 M). Both
are measured here, and a U-Net with the harmonic network's number of parameters; and one convolution in the forms it can
be computed in, with the library's four separate products as the yardstick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitruvian.codecs import PixelsCodec
from vitruvian.models.harmonic import HarmonicUNet
from vitruvian.models.layers.harmonic import HConv
from vitruvian.models.unet import UNet
from vitruvian.training.memory import keep_memory

from .common import alternate

_REPORTED = 4.6
_JOINTS = 25


def run(
    size_wh: tuple[int, int] = (128, 192),
    batch: int = 1,
    repeats: int = 3,
    width: int = 32,
    layers: tuple[int, ...] = (32, 64, 128, 256),
) -> dict[str, Any]:
    """Times of a training step and of inference without gradients, all taken in turns.

    Parameters
    ----------
    size_wh, batch : of the pictures; the system's batches are of one.
    repeats : timed turns.
    width : channels of each order on the finest level; 32 in the system, whose U-Net has twice as many there.
    layers : channels of each of the orders 0 and 1 of the single convolutions, the coarser the more.
    """
    keep_memory()  # as `vitruvian train` does
    torch.manual_seed(0)
    codec = PixelsCodec(size_wh=size_wh, heads=("mask",))
    harmonic = HarmonicUNet(_JOINTS, codec, [(width * 2**i,) * 2 for i in range(5)])
    networks = {
        "harmonic": harmonic,
        "unet_of_the_system": UNet(_JOINTS, codec, 2 * width),
        "unet_of_equal_parameters": UNet(_JOINTS, codec, _width_of(codec, _count(harmonic), 2 * width)),
    }
    images = torch.randn(batch, 3, size_wh[1], size_wh[0]).contiguous(memory_format=torch.channels_last)
    training: dict[str, Callable[[], Any]] = {}
    inference: dict[str, Callable[[], Any]] = {}
    for name, network in networks.items():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        training[name] = _training(network, lambda x, network=network: network(x)["mask"], images)
        inference[name] = _inference(network, images)
    times = {"training": alternate(training, repeats), "inference": alternate(inference, repeats)}
    rivals = [name for name in networks if name != "harmonic"]
    ratios = {kind: {r: round(ms["harmonic"] / ms[r], 2) for r in rivals} for kind, ms in times.items()}
    return {
        "input_wh": list(size_wh),
        "batch": batch,
        "threads": torch.get_num_threads(),
        "parameters": {name: _count(network) for name, network in networks.items()},
        "milliseconds": {kind: {k: round(v, 1) for k, v in ms.items()} for kind, ms in times.items()},
        "harmonic_over": ratios,
        "reported_by_the_system": _REPORTED,
        "layers": [_layer(c, size_wh, batch, repeats, layers[0]) for c in layers],
    }


def _layer(channels: int, size_wh: tuple[int, int], batch: int, repeats: int, first: int) -> dict[str, Any]:
    """One convolution (c, c) -> (c, c) at the resolution where a U-Net has that many channels."""
    streams, scale = (channels, channels), max(1, channels // first)
    width, height = size_wh[0] // scale, size_wh[1] // scale
    stacked, steered = (HConv(streams, streams, product=p) for p in ("stacked", "steered"))
    separate, auto = HConv(streams, streams), HConv(streams, streams)
    plain = round((_count(auto) / 9) ** 0.5)
    both = torch.randn(batch, 4 * channels, height, width).contiguous(memory_format=torch.channels_last)
    tasks = {
        "stacked": (stacked, stacked, both),
        "steered": (steered, steered, both),
        "four_products": (separate, lambda x: _four_products(separate, x), both),
        "plain_of_equal_streams": _plain(2 * channels, both),
        "plain_of_equal_parameters": _plain(plain, both),
    }
    training = {name: _training(module, call, x) for name, (module, call, x) in tasks.items()}
    inference = {name: _inference(module, x) for name, (module, _, x) in tasks.items() if name != "four_products"}
    return {
        "streams": list(streams),
        "map_wh": [width, height],
        "auto": "steered" if auto.steered else "stacked",
        "parameters": _count(auto),
        "training_ms": {k: round(v, 2) for k, v in alternate(training, repeats).items()},
        "inference_ms": {k: round(v, 2) for k, v in alternate(inference, repeats).items()},
    }


def _four_products(conv: HConv, x: Tensor) -> Tensor:
    """As the library multiplies."""
    real, imag = conv.filters()
    a, b = x.chunk(2, dim=1)
    product = lambda v, w: F.conv2d(v, w, padding=conv.size // 2)  # noqa: E731
    return torch.cat([product(a, real) - product(b, imag), product(a, imag) + product(b, real)], dim=1)


def _plain(channels: int, both: Tensor) -> tuple[nn.Module, nn.Module, Tensor]:
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return conv, conv, both[:, :channels].contiguous(memory_format=torch.channels_last)


def _training(module: nn.Module, call: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        module.train()
        call(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _inference(module: nn.Module, x: Tensor) -> Callable[[], None]:
    def step() -> None:
        module.eval()
        with torch.no_grad():
            module(x)

    return step


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _width_of(codec: PixelsCodec, parameters: int, widest: int) -> int:
    """The width, up to ``widest``, whose U-Net comes nearest to so many parameters."""
    with torch.device("meta"):
        return min(range(1, widest + 1), key=lambda w: abs(_count(UNet(_JOINTS, codec, w)) - parameters))
