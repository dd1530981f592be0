"""Harmonic U-Net: what it finds turns with the picture, by 90 degrees exactly and in between nearly.

Source: the mask network of system 0 (github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection, hnet_onlymask),
made of Worrall et al., CVPR 2017, "Harmonic Networks".

With the options `FAITHFUL` and a `PixelsCodec` of the mask alone it is the system's network of 13,430,240 parameters,
but for the softmax, which is the codec's. Layout, sign convention and the filters are in ``layers/harmonic.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, HeatmapCodec, PixelsCodec
from ..errors import ShapeError
from .layers.harmonic import HConv, added_streams, cat_orders, checked_streams
from .layers.harmonic_blocks import HarmonicBlock, HarmonicStyle, HarmonicUp
from .layers.options import finest_level, halving_sides

FAITHFUL: dict[str, Any] = {"norm": "library", "stretched": True, "head_bias": False}
"""Options of the system's network, where they are not the defaults."""
_LEVELS = ((32, 32), (64, 64), (128, 128), (256, 256), (512, 512))


class HarmonicUNet(nn.Module):
    """U-Net of harmonic convolutions, average pooling and bilinear enlarging; heads read real parts of order 0.

    Input (B, 3, H, W) normalised RGB, H and W multiples of ``2 ** (levels - 1)``: 16. At such sizes turning the picture
    by 90 degrees turns all maps, in eval mode.

    Parameters
    ----------
    joints : K.
    codec : of heatmaps or pixels; decides the heads, and by its stride where the decoder ends.
    streams : complex channels of order 0, 1, ... of each level, the finest first.
    size : of the filters, odd.
    gate, norm, stretched : see `HarmonicStyle`.
    dropout : of whole streams, at the end of every block.
    head_bias : a number for each output channel; the system's network has none.
    relaxed : build the network that `relax` leaves, as its weights need.

    Raises
    ------
    ShapeError
        Options that are none of the above, or a codec that has no maps or too coarse ones.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        streams: Sequence[Sequence[int]] = _LEVELS,
        size: int = 3,
        gate: str = "scalar",
        norm: str = "running",
        stretched: bool = False,
        dropout: float = 0.1,
        head_bias: bool = True,
        relaxed: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(streams, list | tuple) or len(streams) < 2:
            raise ShapeError(f"'streams' must be two levels or more, got {streams!r}")
        self.streams = [checked_streams("streams", level) for level in streams]
        self.finest = _finest(codec, len(streams))
        style = HarmonicStyle(size, gate, norm, stretched)
        first = HarmonicBlock((3,), self.streams[0], style, dropout, real_input=True)
        pairs = zip(self.streams, self.streams[1:], strict=False)
        self.down = nn.ModuleList([first, *(HarmonicBlock(a, b, style, dropout) for a, b in pairs)])
        self.enlarge, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(len(streams) - 2, self.finest - 1, -1):
            here = self.streams[level]
            self.enlarge.append(HarmonicUp(self.streams[level + 1], here, style))
            self.up.append(HarmonicBlock(added_streams(here, here), here, style, dropout))
        head = {name: shape[0] for name, shape in codec.shapes(joints).items()}
        self.heads = nn.ModuleDict(
            {
                name: HConv(self.streams[self.finest], (c,), size, stretched, real_output=True, bias=head_bias)
                for name, c in head.items()
            }
        )
        if relaxed:
            self.relax()

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2 C, H / stride, W / stride), what the heads see; `ShapeError` for sides that do not fit.

        The channels are the streams of the level of that stride.
        """
        halving_sides("a harmonic U-Net", len(self.streams), images.shape[-1], images.shape[-2])
        x, kept = images, []
        for level, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if level else x)
            kept.append(x)
        levels = range(len(self.streams) - 2, self.finest - 1, -1)
        for level, enlarge, block in zip(levels, self.enlarge, self.up, strict=True):
            x = block(cat_orders(kept[level], self.streams[level], enlarge(x), self.streams[level]))
        return x

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised RGB -> the codec's arrays."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}

    def relax(self) -> HarmonicUNet:
        """`HConv.relax` of every convolution: same output, but nothing keeps it turning with the picture from now on.

        Make the optimiser afterwards; a card of such weights needs the option ``relaxed``.
        """
        for module in self.modules():
            if isinstance(module, HConv):
                module.relax()
        return self


def _finest(codec: Codec, levels: int) -> int:
    """The finest level of the decoder: 0 for maps of stride 1."""
    if not isinstance(codec, HeatmapCodec | PixelsCodec):
        raise ShapeError(f"a harmonic U-Net gives heatmaps or pixels, got the codec {codec}")
    return finest_level("a harmonic U-Net", levels, codec.stride)
