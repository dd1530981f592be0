"""Skeletons as pure data, one per file.

Adding a skeleton: 1. write ``skeletons/<name>.py`` with one `Skeleton`; 2. add it to `SKELETONS` below.
The conformance suite picks it up by itself.
"""

from __future__ import annotations

from ..errors import SkeletonError
from .body25 import BODY25
from .coco17 import COCO17
from .h36m17 import H36M17
from .lsp14 import LSP14
from .mpii16 import MPII16
from .person import PERSON
from .skeleton import Skeleton, edges_by_name
from .vitruvian19 import VITRUVIAN19

SKELETONS: dict[str, Skeleton] = {
    "body25": BODY25,
    "coco17": COCO17,
    "h36m17": H36M17,
    "lsp14": LSP14,
    "mpii16": MPII16,
    "vitruvian19": VITRUVIAN19,
}

__all__ = [
    "BODY25", "COCO17", "H36M17", "LSP14", "MPII16", "PERSON", "SKELETONS", "VITRUVIAN19",
    "Skeleton", "edges_by_name", "get_skeleton", "match_skeleton",
]  # fmt: skip


def get_skeleton(name: str) -> Skeleton:
    """The skeleton of that name; `SkeletonError` lists the known ones otherwise."""
    if name not in SKELETONS:
        raise SkeletonError(f"unknown skeleton '{name}'; known: {', '.join(sorted(SKELETONS))}")
    return SKELETONS[name]


def match_skeleton(joints: tuple[str, ...]) -> Skeleton | None:
    """The known skeleton with exactly these joints in this order, or None."""
    return next((s for s in SKELETONS.values() if s.joints == joints), None)
