"""Bricks shared by the model families."""

from .attention import ATTENTION
from .blocks import BasicBlock, Bottleneck, basic_stage, conv_bn_act, twice
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
    "basic_stage",
    "build_head",
    "conv_bn_act",
    "placed",
    "twice",
    "whole_numbers",
]
