"""Bricks shared by the model families."""

from .attention import ATTENTION
from .blocks import BasicBlock, Bottleneck, conv_bn_act
from .heads import HeatmapHead, PixelHeads, SimccHead, build_head
from .options import whole_numbers
from .transformer import TransformerBlock, placed

__all__ = [
    "ATTENTION",
    "BasicBlock",
    "Bottleneck",
    "HeatmapHead",
    "PixelHeads",
    "SimccHead",
    "TransformerBlock",
    "build_head",
    "conv_bn_act",
    "placed",
    "whole_numbers",
]
