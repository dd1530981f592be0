"""Affine maps and boxes. `boxes` is used as a module: ``boxes.iou(a, b)``."""

from . import boxes
from .affine import Affine

__all__ = ["Affine", "boxes"]
