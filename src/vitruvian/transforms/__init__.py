"""Transforms of training samples: geometry is one `Affine`, resampling happens once, colour comes last.

Adding a transform: extend `RandomGeometry` (its map is multiplied in) or `RandomPhotometry` (uint8 in and out) with a
field that is off at 0, and test it with the bright-pixel test or a closed form.
"""

from .geometric import RandomGeometry
from .photometric import RandomPhotometry
from .warp import warp

__all__ = ["RandomGeometry", "RandomPhotometry", "warp"]
