"""Harmonic convolution: streams of features that turn with the picture, and the convolution between them.

Sources: Worrall et al., CVPR 2017, "Harmonic Networks", sections 3 and 4; rings, angles, interpolation and the first
values as github.com/jatentaki/harmonic has them.

**Layout.** ``streams = (c0, c1, ...)`` says how many complex channels there are of rotation order 0, 1, ... With
C = c0 + c1 + ... they are real tensors (B, 2 C, H, W): the real parts of all orders, then the imaginary parts of all
orders. A complex convolution is then one plain real one, and pooling, resizing and memory formats need no care.

**Sign.** Turning the picture by an angle a counter-clockwise, as seen on the screen (``torch.rot90`` for 90 degrees),
turns every map with it and multiplies order n by exp(i n a). Image rows point down, so the filters' angle phi runs
clockwise, and the filter from order n_in to n_out is R(r) exp(i (m phi + beta)) with m = n_in - n_out.

Exact for 90 degrees; in between as good as a few taps can be. Zero padding on all sides alike, and bilinear resizing,
keep the symmetry at any size; average pooling by 2 keeps it at even sizes only: at odd ones it drops the last row and
column, which are not the last after turning.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ShapeError, VitruvianError

_SIGMA = 0.5  # of the interpolation from rings to pixels, in pixels
_TINY = 1e-8  # under the root of magnitudes, whose slope is infinite at zero
_STEERED_FROM = 32
"""Complex channels from which fixed filters and a mixture are faster; fewer are limited by memory, not arithmetic."""
_PRODUCTS = ("auto", "stacked", "steered")

_Wave = tuple[int, int, int]
"""A fixed filter: the order of a wave (not negative), its ring, and 0 or 1 for its real or imaginary part."""
_CENTRE: _Wave = (0, -1, 0)


def checked_streams(name: str, streams: Sequence[int]) -> tuple[int, ...]:
    """``streams`` as a tuple; `ShapeError` if these are not whole numbers, at least one of them positive."""
    fits = isinstance(streams, list | tuple) and all(type(c) is int and c >= 0 for c in streams) and sum(streams) > 0
    if not fits:
        raise ShapeError(f"'{name}' must be the channels of order 0, 1, ... as whole numbers, got {streams!r}")
    return tuple(streams)


def magnitude(x: Tensor) -> Tensor:
    """(B, 2 C, H, W) -> (B, C, H, W), which turning does not change; in float32 at least."""
    real, imag = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).chunk(2, dim=1)
    return torch.addcmul(real.square(), imag, imag).add(_TINY).sqrt()


def scaled(x: Tensor, factor: Tensor) -> Tensor:
    """Both parts of (B, 2 C, H, W) times a real (B, C, H, W), or what broadcasts to it."""
    return (x.unflatten(1, (2, -1)) * factor.to(x.dtype).unsqueeze(1)).flatten(1, 2)


def sum_magnitudes(x: Tensor, streams: Sequence[int]) -> Tensor:
    """(B, 2 C, H, W) -> (B, c, H, W): channel by channel the magnitudes of all orders, summed; no order is left.

    Raises
    ------
    ShapeError
        Orders of different widths, or an ``x`` of other channels.
    """
    if len(set(streams)) != 1 or x.shape[1] != 2 * sum(streams):
        raise ShapeError(f"every order must have the same channels, got {tuple(streams)} for {tuple(x.shape)}")
    return magnitude(x).unflatten(1, (len(streams), -1)).sum(1)


def cat_orders(x: Tensor, x_streams: Sequence[int], y: Tensor, y_streams: Sequence[int]) -> Tensor:
    """The channels of x and y order by order; the streams of the result are `added_streams`.

    Raises
    ------
    ShapeError
        Tensors that do not have the channels of their streams.
    """
    for tensor, streams in ((x, x_streams), (y, y_streams)):
        if tensor.shape[1] != 2 * sum(streams):
            raise ShapeError(f"streams {tuple(streams)} are {2 * sum(streams)} channels, got {tuple(tensor.shape)}")
    parts = []
    for x_half, y_half in zip(x.chunk(2, dim=1), y.chunk(2, dim=1), strict=True):
        orders = max(len(x_streams), len(y_streams))
        of_x, of_y = (_split(half, s, orders) for half, s in ((x_half, x_streams), (y_half, y_streams)))
        parts += [part for pair in zip(of_x, of_y, strict=True) for part in pair if part.shape[1]]
    return torch.cat(parts, dim=1)


def added_streams(x_streams: Sequence[int], y_streams: Sequence[int]) -> tuple[int, ...]:
    """Channels of each order after `cat_orders`."""
    orders = max(len(x_streams), len(y_streams))
    pad = lambda streams: (*streams, *[0] * (orders - len(streams)))  # noqa: E731
    return tuple(a + b for a, b in zip(pad(x_streams), pad(y_streams), strict=True))


def _split(half: Tensor, streams: Sequence[int], orders: int) -> Sequence[Tensor]:
    return half.split([*streams, *[0] * (orders - len(streams))], dim=1)


class HConv(nn.Module):
    """Harmonic convolution with stride 1 and "same" zero padding: (B, 2 C_in, H, W) -> (B, 2 C_out, H, W).

    For each pair of channels and each ring a radius' weight and a phase, and for equal orders the weight of the centre,
    where other orders are zero. In eval mode without gradients the filter is built once and kept until a parameter
    changes; while a graph is exported it is always built, so that the file holds the small parameters.

    Parameters
    ----------
    streams_in, streams_out : complex channels of order 0, 1, ...
    size : side of the filter, odd and at least 3.
    stretched : False puts taps at whole pixels. True repeats the library: taps at ``linspace(-size / 2, size / 2)``
        although the rings end at ``(size - 1) / 2``, and a centre's weight that goes to both parts alike.
    real_input, real_output : order 0 only; imaginary parts are zero and left out, or not asked for: half the work.
    bias : one number a channel, with ``real_output``.
    product : how it is computed. ``"stacked"``: as one real convolution with the weights [[Re, -Im], [Im, Re]].
        ``"steered"``: what a filter has to learn are numbers for a few fixed filters, the waves on each ring; so each
        channel goes through these once, and what comes out is mixed pixel by pixel (Freeman and Adelson, PAMI 1991,
        "The Design and Use of Steerable Filters", section II). The same sums with a fifth of the multiplications.
        ``"auto"``, the faster; a relaxed one, whose filters are no longer made of waves, is stacked.

    Raises
    ------
    ShapeError
        An even or too small size, streams that are none, a real side with other orders than 0, an unknown product.
    """

    basis: Tensor
    centre_basis: Tensor

    def __init__(
        self,
        streams_in: Sequence[int],
        streams_out: Sequence[int],
        size: int = 3,
        stretched: bool = False,
        real_input: bool = False,
        real_output: bool = False,
        bias: bool = False,
        product: str = "auto",
    ) -> None:
        super().__init__()
        self.streams_in = checked_streams("streams_in", streams_in)
        self.streams_out = checked_streams("streams_out", streams_out)
        self.size, self.real_input, self.real_output = size, real_input, real_output
        self._check(bias, product)
        wide = min(sum(streams_in), sum(streams_out)) >= _STEERED_FROM
        self.steered = product == "steered" or (product == "auto" and wide)
        self.stretched = stretched
        # All differences of orders there are, from 0 - (orders out - 1) up.
        differences = range(1 - len(self.streams_out), len(self.streams_in))
        # Nothing here has five dimensions, which ``.to(memory_format=torch.channels_last)`` would refuse.
        basis = np.stack([ring_basis(size, m, stretched).reshape(2, size // 2, -1) for m in differences])
        dtype = torch.get_default_dtype()
        self.register_buffer("basis", torch.tensor(basis, dtype=dtype), persistent=False)
        centre = centre_basis(size, stretched)
        centre = np.stack([centre, centre if stretched else np.zeros_like(centre)])
        self.register_buffer("centre_basis", torch.tensor(centre, dtype=dtype), persistent=False)
        pairs = (sum(self.streams_out), sum(self.streams_in), size // 2)
        self.radial, self.phase = nn.Parameter(torch.empty(pairs)), nn.Parameter(torch.empty(pairs))
        self.centre = nn.ParameterDict(
            {
                str(order): nn.Parameter(torch.empty(c_out, c_in))
                for order, (c_in, c_out) in enumerate(zip(self.streams_in, self.streams_out, strict=False))
                if c_in and c_out
            }
        )
        self.bias = nn.Parameter(torch.zeros(sum(self.streams_out))) if bias else None
        self.relaxed = False
        self._kept: tuple[tuple, list[Tensor]] | None = None
        self.reset_parameters()

    def _check(self, bias: bool, product: str) -> None:
        if type(self.size) is not int or self.size < 3 or self.size % 2 == 0:
            raise ShapeError(f"a harmonic filter's size is an odd number of at least 3, got {self.size!r}")
        for real, streams in ((self.real_input, self.streams_in), (self.real_output, self.streams_out)):
            if real and len(streams) > 1:
                raise ShapeError(f"only order 0 can be real, got streams {streams}")
        if product not in _PRODUCTS or (bias and not self.real_output):
            raise ShapeError(f"product is one of {_PRODUCTS} and a bias needs real_output, got '{product}', {bias}")

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The library's first values: weights of deviation 2 / sqrt(c_in c_out size^2) for each pair of orders."""
        for rows in _slices(self.streams_out):
            for columns in _slices(self.streams_in):
                count = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
                self.radial[rows, columns] = torch.randn_like(self.radial[rows, columns]) * _deviation(count, self.size)
        self.phase.uniform_(0, 2 * math.pi)
        for weight in self.centre.values():
            weight.normal_(std=_deviation(weight.numel(), self.size))

    def filters(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts of all filters, each (C_out, C_in, size, size)."""
        if self.relaxed:
            real, imag = self.kernel.chunk(2)
            return real, imag
        # Sums of products rather than einsum, which autocast would round to half precision.
        cos, sin = self.radial * self.phase.cos(), self.radial * self.phase.sin()
        lines = []
        for n_out, rows in enumerate(_slices(self.streams_out)):
            line = []
            for n_in, columns in enumerate(_slices(self.streams_in)):
                a, b = (values[rows, columns, :, None, None] for values in (cos, sin))
                across, along = self.basis[n_in - n_out + len(self.streams_out) - 1].unflatten(
                    -1, (self.size, self.size)
                )
                real, imag = (a * across - b * along).sum(2), (a * along + b * across).sum(2)
                if n_in == n_out and str(n_in) in self.centre:
                    weight = self.centre[str(n_in)][:, :, None, None]
                    real, imag = real + weight * self.centre_basis[0], imag + weight * self.centre_basis[1]
                line.append((real, imag))
            lines.append([torch.cat(part, dim=1) for part in zip(*line, strict=True)])
        real, imag = (torch.cat(part, dim=0) for part in zip(*lines, strict=True))
        return real, imag

    def forward(self, x: Tensor) -> Tensor:
        """See the class; (B, C_in, H, W) with ``real_input``, (B, C_out, H, W) with ``real_output``."""
        channels = sum(self.streams_in) * (1 if self.real_input else 2)
        if x.ndim != 4 or x.shape[1] != channels:
            raise ShapeError(f"streams {self.streams_in} are {channels} channels here, got {tuple(x.shape)}")
        if not self.steered:
            return F.conv2d(x, self._weights()[0], self.bias, padding=self.size // 2)
        return self._mixed(x, self._weights())

    def _mixed(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Every channel through the fixed filters, then the mixture of each order."""
        mixtures, maps = self._mixtures, {}
        for wave in {wave for order in mixtures for wave, _ in order}:
            kernel = self._fixed(wave).expand(x.shape[1], 1, self.size, self.size)
            maps[wave] = F.conv2d(x, kernel, padding=self.size // 2, groups=x.shape[1])
        # Split rather than sliced: a slice's gradient is the whole map again, zeros but for a part.
        sizes = [*self.streams_in] * (1 if self.real_input else 2)
        split = {wave: x_of.split(sizes, dim=1) for wave, x_of in maps.items()}
        parts = []
        for order, weight in zip(mixtures, weights, strict=True):
            pieces = [part for wave, n_in in order for part in split[wave][n_in :: len(self.streams_in)]]
            parts.append(F.conv2d(torch.cat(pieces, 1), weight[:, :, None, None]))
        if self.real_output:
            y = torch.cat(parts, 1)
            return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]
        return torch.cat(
            [half for parts_of in zip(*(p.chunk(2, 1) for p in parts), strict=True) for half in parts_of], 1
        )

    def _fixed(self, wave: _Wave) -> Tensor:
        """(size, size): a fixed filter."""
        if wave == _CENTRE:
            return self.centre_basis[0]
        order, ring, part = wave
        at = order + len(self.streams_out) - 1
        # The wave of order -m is that of m with the other sign on its imaginary part, which `_mixing` sees to.
        kernel = self.basis[at] if at < len(self.basis) else self.basis[len(self.streams_out) - 1 - order]
        sign = -1 if at >= len(self.basis) and part else 1
        return sign * kernel[part, ring].unflatten(-1, (self.size, self.size))

    def _pairs(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Each order that comes out; and each that goes in, with the difference of the two."""
        ins = [n_in for n_in, count in enumerate(self.streams_in) if count]
        return [(n_out, [(n, n - n_out) for n in ins]) for n_out, count in enumerate(self.streams_out) if count]

    @functools.cached_property
    def _mixtures(self) -> list[list[tuple[_Wave, int]]]:
        """For each order that comes out what is mixed: fixed filters, and which order went through them."""
        found = []
        for _, pairs in self._pairs():
            order = []
            for n_in, m in pairs:
                parts = range(2 if m else 1)
                order += [((abs(m), ring, part), n_in) for ring in range(self.size // 2) for part in parts]
                order += [] if m else [(_CENTRE, n_in)]
            found.append(order)
        return found

    def _mixing(self) -> list[Tensor]:
        """For each order that comes out the matrix of its mixture, (2 c_out, inputs), its columns as in `_mixtures`.

        With R and I the real and imaginary part of a wave of order |m|, s the sign of m, and a + i b what is learned,
        a pair of channels is (a + i b) (R + i s I) * (x_re + i x_im).
        """
        blocks = [
            [block.unbind(2) for block in line.split(self.streams_in, dim=1)]
            for part in (self.radial * self.phase.cos(), self.radial * self.phase.sin())
            for line in part.split(self.streams_out)
        ]
        cos, sin = blocks[: len(self.streams_out)], blocks[len(self.streams_out) :]
        matrices = []
        for n_out, pairs in self._pairs():
            real, imag = [], []
            for n_in, m in pairs:
                for ring in range(self.size // 2):
                    a, b = cos[n_out][n_in][ring], sin[n_out][n_in][ring]
                    real += [a, -b]
                    imag += [b, a]
                    if m:
                        a, b = (-a, -b) if m < 0 else (a, b)
                        real += [-b, -a]
                        imag += [a, -b]
                if m == 0:
                    weight = self.centre[str(n_in)]
                    other = weight if self.stretched else torch.zeros_like(weight)
                    real += [weight, -other]
                    imag += [other, weight]
            if self.real_input:
                real, imag = real[::2], imag[::2]
            lines = [torch.cat(real, 1)] if self.real_output else [torch.cat(real, 1), torch.cat(imag, 1)]
            matrices.append(torch.cat(lines))
        return matrices

    def relax(self) -> HConv:
        """Remove the constraint: from now on an ordinary complex convolution, whose weights start as the filters were.

        Turning is no longer built in. The parameters are new ones: make the optimiser afterwards.

        Raises
        ------
        VitruvianError
            It is relaxed already.
        """
        if self.relaxed:
            raise VitruvianError("this harmonic convolution is relaxed already; relax it once")
        kernel = torch.cat(self.filters()).detach()
        del self.radial, self.phase, self.centre, self.basis, self.centre_basis
        self.kernel = nn.Parameter(kernel)
        self.relaxed, self.steered, self._kept = True, False, None
        return self

    def train(self, mode: bool = True) -> HConv:
        """As of any module; training lets go of the filter that eval mode keeps."""
        if mode:
            self._kept = None
        return super().train(mode)

    def extra_repr(self) -> str:
        form = "steered" if self.steered else "stacked"
        return f"{self.streams_in} -> {self.streams_out}, size={self.size}, {form}, relaxed={self.relaxed}"

    def _weights(self) -> list[Tensor]:
        """The weight of the one real convolution, or the mixtures' matrices; kept where nobody needs their gradient."""
        if self.training:  # not only in `train`: Lightning sets modes without it, and fused optimisers count no change
            self._kept = None
        parameters = list(self.parameters())
        passing = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        if passing or any(p.is_inference() for p in parameters):
            return self._assembled()
        # Optimisers, averaging and loading write into the parameters; moving to a device or type changes the address.
        state = tuple((id(p), p._version, p.data_ptr(), p.dtype) for p in parameters)
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self._assembled()
        return self._kept[1]

    def _assembled(self) -> list[Tensor]:
        return self._mixing() if self.steered else [self._stacked()]

    def _stacked(self) -> Tensor:
        real, imag = self.filters()
        if self.real_input:
            return real if self.real_output else torch.cat([real, imag])
        top = torch.cat([real, -imag], dim=1)
        return top if self.real_output else torch.cat([top, torch.cat([imag, real], dim=1)])


def ring_basis(size: int, m: int, stretched: bool) -> np.ndarray:
    """(2, rings, size, size): real and imaginary part of exp(i m phi) on each ring, carried to the taps.

    A tap takes the mean of all points of all rings, weighted with a Gaussian of its distance to them.
    """
    taps = _taps(size, stretched)
    radii, angles = np.arange(1, size // 2 + 1), np.arange(4 * (size - 1)) * (2 * np.pi / (4 * (size - 1)))
    x, y = radii[:, None] * np.cos(angles), radii[:, None] * np.sin(angles)
    squares = (taps[None, :, None, None] - x) ** 2 + (taps[:, None, None, None] - y) ** 2
    share = np.exp(-squares / (2 * _SIGMA**2))
    share /= share.sum((2, 3), keepdims=True)
    waves = np.stack([np.cos(m * angles), np.sin(m * angles)])
    # Rounded so that values that must be equal for the symmetry of 90 degrees are equal in every precision.
    return np.round(np.einsum("yxra,pa->pryx", share, waves), 12)


def centre_basis(size: int, stretched: bool) -> np.ndarray:
    """(size, size): how much of the centre's weight each tap takes, 1 in all."""
    squares = _taps(size, stretched) ** 2
    share = np.exp(-(squares[:, None] + squares) / (2 * _SIGMA**2))
    return np.round(share / share.sum(), 12)


def _taps(size: int, stretched: bool) -> np.ndarray:
    return np.linspace(-size / 2, size / 2, size) if stretched else np.arange(size) - size // 2.0


def _slices(streams: Sequence[int]) -> list[slice]:
    ends = np.cumsum(streams).tolist()
    return [slice(end - count, end) for end, count in zip(ends, streams, strict=True)]


def _deviation(channels: int, size: int) -> float:
    return 2 / math.sqrt(channels * size**2)
