"""Kinds of annotated people that an evaluation can be split by: how large, how well seen, how much hidden.

The limits of ``size`` are those of COCO's evaluation (areas of 32 and 96 pixels squared).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..geometry import boxes
from ..types import Person


def size(person: Person) -> str | None:
    """By the annotated area, else the box's; None where there is neither."""
    if person.area_px is not None:
        side = math.sqrt(max(person.area_px, 0.0))
    elif person.box_xyxy is not None:
        side = math.sqrt(float(boxes.area(person.box_xyxy[None])[0]))
    else:
        return None
    return "small" if side < 32 else "medium" if side < 96 else "large"


def joints(person: Person) -> str:
    """By the number of labelled joints."""
    count = int(person.labelled.sum())
    return "1 to 5 joints" if count <= 5 else "6 to 10 joints" if count <= 10 else "11 or more joints"


def hidden(person: Person) -> str:
    """By the share of the labelled joints that are hidden (COCO's visibility 1)."""
    share = float((person.visibility == 1).sum()) / max(int(person.labelled.sum()), 1)
    return "none hidden" if share == 0 else "up to a third hidden" if share <= 1 / 3 else "more hidden"


GROUPS: dict[str, Callable[[Person], str | None]] = {"size": size, "joints": joints, "hidden": hidden}
"""Name -> the group a person belongs to, or None for none."""

ORDER = (
    *("small", "medium", "large"),
    *("1 to 5 joints", "6 to 10 joints", "11 or more joints"),
    *("none hidden", "up to a third hidden", "more hidden"),
)
"""All groups in the order in which tables show them."""
