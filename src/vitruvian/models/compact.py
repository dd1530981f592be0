"""CompactNet: this project's small network for CPUs, of joints, and with ``fine`` of masks.

Design, by measured milliseconds rather than by FLOPs: plain 3x3 convolutions only, which use a CPU's vector and
matrix units several times better than depthwise ones; most work at strides 8 to 32; one top-down pass that brings
context back (as in feature pyramids: Lin et al., CVPR 2017), and a pixel shuffle instead of the last upsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec
from .layers import BasicBlock, TransformerBlock, build_head, conv_bn_act, placed, whole_numbers

_FIRST = 32  # channels at stride 2
_HEADS = 4


class CompactNet(nn.Module):
    """Stem to stride 4, three residual stages at strides 8, 16 and 32, top-down fusion back to stride 8, a head.

    Parameters
    ----------
    joints : K.
    codec : decides the head.
    widths : channels at strides 4, 8, 16 and 32.
    depths : residual blocks at strides 8, 16 and 32.
    inner : channels inside of those blocks; ``widths`` where it is not given.
    neck : channels of the fused features at strides 16 and 8.
    context : attention blocks over all places of stride 16 (`TransformerBlock`, with learnt positions), after the
        fusion there: whether a leg is the left one is often decided at the head, out of a small convolution's reach.
    fine : channels of further fused features at stride 4, or at strides 4 and 2, which the head then sees: for masks,
        whose edges are finer than joints.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        widths: tuple[int, int, int, int] = (48, 96, 192, 256),
        depths: tuple[int, int, int] = (1, 2, 1),
        neck: tuple[int, int] = (128, 96),
        fine: tuple[int, ...] = (),
        inner: tuple[int, ...] = (),
        context: int = 0,
    ) -> None:
        super().__init__()
        whole_numbers("widths", widths, 4)
        whole_numbers("depths", depths, 3, least=0)
        whole_numbers("neck", neck, 2)
        whole_numbers("fine", fine, min(len(fine), 2))
        inner = inner or widths[1:]
        whole_numbers("inner", inner, 3)
        stem, w8, w16, w32 = widths
        self.stem = nn.Sequential(conv_bn_act(3, _FIRST, 3, 2), conv_bn_act(_FIRST, stem, 3, 2))
        self.stage8 = _stage(stem, w8, depths[0], inner[0])
        self.stage16 = _stage(w8, w16, depths[1], inner[1])
        self.stage32 = _stage(w16, w32, depths[2], inner[2])
        self.down32 = conv_bn_act(w32, neck[0], 1, act=False)
        self.side16 = conv_bn_act(w16, neck[0], 1, act=False)
        self.fuse16 = conv_bn_act(neck[0], neck[0], 3)
        self.context = nn.ModuleList(TransformerBlock(neck[0], _HEADS, hidden=2 * neck[0]) for _ in range(context))
        for block in self.context:
            block.start_as_nothing()  # type: ignore[operator]
        if context:
            across, down = (side // 16 for side in codec.size_wh)
            self.positions = nn.Parameter(torch.zeros(1, neck[0], down, across))
        self.down16 = conv_bn_act(neck[0], neck[1], 1, act=False)
        self.side8 = conv_bn_act(w8, neck[1], 1, act=False)
        self.fuse8 = BasicBlock(neck[1], neck[1])
        features = (neck[1], *fine)
        pairs = zip(features, fine, (stem, _FIRST), strict=False)
        self.fine = nn.ModuleList(_Finer(coarse, side, width) for coarse, width, side in pairs)
        self.head = build_head(features[-1], joints, 8 // 2 ** len(fine), codec)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised RGB -> the codec's arrays; H and W multiples of 32."""
        x2 = self.stem[0](images)
        x4 = self.stem[1](x2)
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x32 = self.stage32(x16)
        y16 = self.fuse16(torch.relu(self.side16(x16) + _twice(self.down32(x32))))
        if self.context:
            y16 = self._with_context(y16)
        y8 = self.fuse8(torch.relu(self.side8(x8) + _twice(self.down16(y16))))
        for finer, side in zip(self.fine, (x4, x2), strict=False):
            y8 = finer(y8, side)
        return self.head(y8)

    def _with_context(self, y16: Tensor) -> Tensor:
        tokens = placed(y16, self.positions)
        for block in self.context:
            tokens = block(tokens)
        return tokens.transpose(1, 2).unflatten(2, y16.shape[2:])


class _Finer(nn.Module):
    """Features of twice the resolution: the coarse ones enlarged, with detail from the way down."""

    def __init__(self, coarse: int, side: int, width: int) -> None:
        super().__init__()
        self.down = conv_bn_act(coarse, width, 1, act=False)
        self.side = conv_bn_act(side, width, 1, act=False)
        self.fuse = conv_bn_act(width, width, 3)

    def forward(self, coarse: Tensor, side: Tensor) -> Tensor:
        return self.fuse(torch.relu(self.side(side) + _twice(self.down(coarse))))


def _stage(c_in: int, width: int, depth: int, inner: int) -> nn.Sequential:
    blocks = (BasicBlock(width, width, inner=inner) for _ in range(depth))
    return nn.Sequential(conv_bn_act(c_in, width, 3, 2), *blocks)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
