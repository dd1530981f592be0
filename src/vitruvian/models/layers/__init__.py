"""Bricks shared by the model families."""

from .blocks import BasicBlock, Bottleneck, conv_bn_act
from .heads import HeatmapHead, SimccHead, build_head

__all__ = ["BasicBlock", "Bottleneck", "HeatmapHead", "SimccHead", "build_head", "conv_bn_act"]
