"""Vitruvian: human pose estimation. Photos in, 2D joints out; train, evaluate, export.

    import vitruvian

    model = vitruvian.load()
    poses = model.predict("photo.jpg")          # poses.keypoints (N, K, 2) px, poses.scores (N, K)
    picture = vitruvian.draw("photo.jpg", poses)

The names below are all there is to the public interface; each is imported when it is first used, so that
``import vitruvian`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .draw import draw
    from .errors import VitruvianError
    from .evaluate import evaluate
    from .formats import read, write
    from .predict import Predictor, load
    from .skeletons import Skeleton, get_skeleton
    from .training import train
    from .types import Poses

__version__ = "0.1.0"

__all__ = [
    "Poses", "Predictor", "Skeleton", "VitruvianError", "__version__", "draw", "evaluate", "get_skeleton", "load",
    "read", "train", "write",
]  # fmt: skip

_MODULE_OF = {
    "Poses": ".types",
    "Predictor": ".predict",
    "Skeleton": ".skeletons",
    "VitruvianError": ".errors",
    "draw": ".draw",
    "evaluate": ".evaluate",
    "get_skeleton": ".skeletons",
    "load": ".predict",
    "read": ".formats",
    "train": ".training",
    "write": ".formats",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vitruvian' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})


class _Package(ModuleType):
    """Keeps ``vitruvian.draw`` and ``vitruvian.evaluate`` the functions that they are documented to be.

    Python binds every imported submodule to its package, which would put the modules of the same names in their place;
    these are reached by ``from vitruvian.draw import ...``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULE_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
