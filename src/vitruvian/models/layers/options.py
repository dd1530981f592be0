"""Checks of a family's options and inputs, so that a mistake is named before torch stumbles over it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import ShapeError


def whole_numbers(name: str, values: Sequence[int], count: int, least: int = 1) -> None:
    """Refuse an option that is not ``count`` whole numbers of at least ``least``, with a `ShapeError`."""
    fits = isinstance(values, list | tuple) and len(values) == count
    if not fits or not all(type(v) is int and v >= least for v in values):
        raise ShapeError(f"'{name}' must be {count} whole numbers of at least {least}, got {values!r}")


def finest_level(family: str, levels: int, stride: int) -> int:
    """The finest decoder level of an encoder-decoder that gives maps of ``stride``: 0 for 1, 1 for 2, 2 for 4 ...

    Raises `ShapeError` for a stride that none of its ``levels`` has.
    """
    finest = math.log2(stride)
    if finest % 1 or finest > levels - 1:
        raise ShapeError(
            f"{family} of {levels} levels gives maps of stride 1, 2, 4 ... {2 ** (levels - 1)}, got {stride}"
        )
    return int(finest)


def halving_sides(family: str, levels: int, width: int, height: int) -> None:
    """Refuse a picture whose sides cannot be halved once a level, with a `ShapeError`."""
    unit = 2 ** (levels - 1)
    if height % unit or width % unit:
        raise ShapeError(
            f"{family} of {levels} levels needs sides that are multiples of {unit}, got {width} x {height}; "
            f"pad the images on the right and below"
        )
