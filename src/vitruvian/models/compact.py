"""CompactNet: this project's small network for CPUs, of joints, and with ``fine`` of masks.

Design, by measured milliseconds rather than by FLOPs: plain 3x3 convolutions only, which use a CPU's vector and
matrix units several times better than depthwise ones; most work at strides 8 to 32; one top-down pass that brings
context back (as in feature pyramids: Lin et al., CVPR 2017), and a pixel shuffle instead of the last upsampling.
``stacks`` repeats all below stride 8, each with a head of its own, so that where a joint is can depend on where the
others were found (Newell et al., ECCV 2016, "Stacked Hourglass Networks for Human Pose Estimation", section 3.2).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..codecs import Codec, HeatmapCodec
from ..errors import ShapeError
from .hourglass import STACKS
from .layers import BasicBlock, TransformerBlock, basic_stage, build_head, conv_bn_act, placed, twice, whole_numbers

_FIRST = 32  # channels at stride 2
_HEADS = 4


class _Pass(nn.Module):
    """Strides 16 and 32, and the way back to stride 8."""

    def _make_pass(
        self,
        widths: tuple[int, int, int, int],
        depths: tuple[int, int, int],
        neck: tuple[int, int],
        inner: tuple[int, ...],
    ) -> None:
        """Apart from ``__init__``, so that parts come in the order in which a picture goes through them."""
        _, w8, w16, w32 = widths
        self.stage16 = basic_stage(w8, w16, depths[1], inner[1])
        self.stage32 = basic_stage(w16, w32, depths[2], inner[2])
        self.down32 = conv_bn_act(w32, neck[0], 1, act=False)
        self.side16 = conv_bn_act(w16, neck[0], 1, act=False)
        self.fuse16 = conv_bn_act(neck[0], neck[0], 3)
        self.down16 = conv_bn_act(neck[0], neck[1], 1, act=False)
        self.side8 = conv_bn_act(w8, neck[1], 1, act=False)
        self.fuse8 = BasicBlock(neck[1], neck[1])

    def fused(self, x8: Tensor) -> Tensor:
        x16 = self.stage16(x8)
        y16 = self.fuse16(torch.relu(self.side16(x16) + twice(self.down32(self.stage32(x16)))))
        return self.fuse8(torch.relu(self.side8(x8) + twice(self.down16(self.in_context(y16)))))

    def in_context(self, y16: Tensor) -> Tensor:
        return y16


class CompactNet(_Pass):
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
    stacks : how often strides 16 and 32 are gone through; the fused features of one pass, taken by a 1x1 convolution
        that begins as nothing, are added to what the next begins with. In training the arrays then also hold `STACKS`,
        the maps of every pass. More than one is for heatmaps without ``context`` and ``fine``.
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
        stacks: int = 1,
    ) -> None:
        whole_numbers("widths", widths, 4)
        whole_numbers("depths", depths, 3, least=0)
        whole_numbers("neck", neck, 2)
        whole_numbers("fine", fine, min(len(fine), 2))
        inner = inner or widths[1:]
        whole_numbers("inner", inner, 3)
        if type(stacks) is not int or stacks < 1:
            raise ShapeError(f"stacks must be a whole number from 1 on, got {stacks!r}")
        if stacks > 1 and (context or fine or not isinstance(codec, HeatmapCodec)):
            raise ShapeError("more than one of stacks is for heatmaps, without context and fine")
        super().__init__()
        stem, w8 = widths[:2]
        self.stem = nn.Sequential(conv_bn_act(3, _FIRST, 3, 2), conv_bn_act(_FIRST, stem, 3, 2))
        self.stage8 = basic_stage(stem, w8, depths[0], inner[0])
        self._make_pass(widths, depths, neck, inner)
        self.context = nn.ModuleList(TransformerBlock(neck[0], _HEADS, hidden=2 * neck[0]) for _ in range(context))
        for block in self.context:
            block.start_as_nothing()  # type: ignore[operator]
        if context:
            across, down = (side // 16 for side in codec.size_wh)
            self.positions = nn.Parameter(torch.zeros(1, neck[0], down, across))
        features = (neck[1], *fine)
        pairs = zip(features, fine, (stem, _FIRST), strict=False)
        self.fine = nn.ModuleList(_Finer(coarse, side, width) for coarse, width, side in pairs)
        # What is in the picture is for the last pass alone to say.
        first = replace(codec, presence=False) if stacks > 1 and isinstance(codec, HeatmapCodec) else codec
        self.head = build_head(features[-1], joints, 8 // 2 ** len(fine), first)
        self.again = nn.ModuleList(_Again(widths, depths, neck, inner, joints, codec) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised RGB -> the codec's arrays; H and W multiples of 32."""
        x2 = self.stem[0](images)
        x4 = self.stem[1](x2)
        x8 = self.stage8(x4)
        y8 = self.fused(x8)
        for finer, side in zip(self.fine, (x4, x2), strict=False):
            y8 = finer(y8, side)
        if not self.again:
            return self.head(y8)
        # Earlier heads only teach: without them, nothing that the last one says is different.
        every = [self.head(y8)] if self.training else []
        for again in self.again:
            y8 = again(x8, y8)
            if self.training or again is self.again[-1]:
                every.append(again.head(y8))  # type: ignore[operator]
        if not self.training:
            return every[-1]
        return every[-1] | {STACKS: torch.stack([each[HeatmapCodec.array] for each in every], dim=1)}

    def in_context(self, y16: Tensor) -> Tensor:
        if not self.context:
            return y16
        tokens = placed(y16, self.positions)
        for block in self.context:
            tokens = block(tokens)
        return tokens.transpose(1, 2).unflatten(2, y16.shape[2:])


class _Again(_Pass):
    """Another pass over the first one's features of stride 8 and what the pass before has made of them, and its head.

    Its parts are called as the first pass's, whose weights it can begin with: it then repeats that one.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        depths: tuple[int, int, int],
        neck: tuple[int, int],
        inner: tuple[int, ...],
        joints: int,
        codec: Codec,
    ) -> None:
        super().__init__()
        self._make_pass(widths, depths, neck, inner)
        self.merge = nn.Conv2d(neck[1], widths[1], 1)
        nn.init.zeros_(self.merge.weight)
        nn.init.zeros_(self.merge.bias)  # type: ignore[arg-type]
        self.head = build_head(neck[1], joints, 8, codec)

    def forward(self, x8: Tensor, y8: Tensor) -> Tensor:
        return self.fused(x8 + self.merge(y8))


class _Finer(nn.Module):
    """Features of twice the resolution: the coarse ones enlarged, with detail from the way down."""

    def __init__(self, coarse: int, side: int, width: int) -> None:
        super().__init__()
        self.down = conv_bn_act(coarse, width, 1, act=False)
        self.side = conv_bn_act(side, width, 1, act=False)
        self.fuse = conv_bn_act(width, width, 3)

    def forward(self, coarse: Tensor, side: Tensor) -> Tensor:
        return self.fuse(torch.relu(self.side(side) + twice(self.down(coarse))))
