"""Transforms of training samples: geometry is one `Affine`, resampling happens once, colour comes last.

Adding a transform: extend `RandomGeometry` (its map is multiplied in) or `RandomPhotometry` (uint8 in and out) with a
field that is off at 0, and test it with the bright-pixel test or a closed form. What draws otherwise is a class of its
own with the members of `Geometry` or `Photometry`, and a named set of both is an entry of `PRESETS`.
"""

from .geometric import Geometry, RandomGeometry
from .photometric import Photometry, RandomPhotometry
from .presets import PRESETS
from .warp import warp

__all__ = ["PRESETS", "Geometry", "Photometry", "RandomGeometry", "RandomPhotometry", "warp"]
