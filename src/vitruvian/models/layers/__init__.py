"""Bricks shared by the model families."""

from .blocks import BasicBlock, Bottleneck, conv_bn_act
from .heads import HeatmapHead, SimccHead, build_head
from .options import whole_numbers

__all__ = ["BasicBlock", "Bottleneck", "HeatmapHead", "SimccHead", "build_head", "conv_bn_act", "whole_numbers"]
