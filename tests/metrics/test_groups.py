"""Kinds of people: limits, order, and figures that equal an evaluation of those people alone."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.metrics.groups import GROUPS, ORDER, hidden, joints, size
from vitruvian.types import Person


def person(visibility, **fields) -> Person:
    return Person(np.zeros((len(visibility), 2)), np.array(visibility), **fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"area_px": 32.0**2 - 1}, "small"),
        ({"area_px": 32.0**2}, "medium"),
        ({"area_px": 96.0**2 - 1}, "medium"),
        ({"area_px": 96.0**2}, "large"),
        ({"area_px": 10.0, "box_xyxy": np.array([0, 0, 500, 500])}, "small"),
        ({"box_xyxy": np.array([0, 0, 500, 500])}, "large"),
        ({}, None),
    ],
)
def test_size(fields, expected) -> None:
    assert size(person([2], **fields)) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ORDER[3]), (5, ORDER[3]), (6, ORDER[4]), (10, ORDER[4]), (11, ORDER[5])]
)
def test_joints(count, expected) -> None:
    assert joints(person([2] * count + [0] * 3)) == expected


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [
        ([2, 2, 0], "none hidden"),
        ([1, 2, 2], "up to a third hidden"),
        ([1, 2, 0], "more hidden"),
        ([1, 1], "more hidden"),
    ],
)
def test_hidden(visibility, expected) -> None:
    assert hidden(person(visibility)) == expected


def test_every_kind_has_a_place() -> None:
    assert set(GROUPS) == {"size", "joints", "hidden"}
    assert len(set(ORDER)) == len(ORDER) == 9
