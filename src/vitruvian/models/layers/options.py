"""Checks of a family's options, so that a recipe's mistake is named before torch stumbles over it."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ShapeError


def whole_numbers(name: str, values: Sequence[int], count: int, least: int = 1) -> None:
    """Refuse an option that is not ``count`` whole numbers of at least ``least``, with a `ShapeError`."""
    fits = isinstance(values, list | tuple) and len(values) == count
    if not fits or not all(type(v) is int and v >= least for v in values):
        raise ShapeError(f"'{name}' must be {count} whole numbers of at least {least}, got {values!r}")
