"""Pictures of people: `draw` a prediction, `compare` it with ground truth, `contact_sheet` of many images.

The package is also callable, as `draw`: ``vitruvian.draw(image, poses)`` is then the same whether ``vitruvian.draw``
is taken as the public function or was bound to this subpackage by an import of one of its modules.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from .sheet import contact_sheet
from .skeleton import compare, draw

__all__ = ["compare", "contact_sheet", "draw"]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> np.ndarray:
        return draw(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
