"""`Skeleton`: what it refuses, its flip, remapping by name, and its record."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from vitruvian.errors import SkeletonError
from vitruvian.skeletons import (
    COCO17,
    LSP14,
    SKELETONS,
    VITRUVIAN19,
    Skeleton,
    edges_by_name,
    get_skeleton,
    match_skeleton,
)

_PAIR = ("nose", "left_hand", "right_hand")


def _make(**changes: object) -> Skeleton:
    fields: dict = {"name": "toy", "joints": _PAIR, "edges": ((0, 1), (0, 2)), "sigmas": (0.1, 0.2, 0.2)}
    return Skeleton(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joints": ()}, "joint names"),
        ({"joints": ("nose", "nose", "chin")}, "unique"),
        ({"joints": ("nose", "", "chin")}, "non-empty"),
        ({"sigmas": (0.1, 0.2)}, "2 sigmas"),
        ({"sigmas": (0.1, 0.2, 0.0)}, "positive"),
        ({"sigmas": (0.1, 0.2, float("nan"))}, "positive"),
        ({"sigmas": (0.1, 0.2, float("inf"))}, "finite"),
        ({"edges": ((0, 3),)}, r"\(0, 3\)"),
        ({"edges": ((-1, 0),)}, r"\(-1, 0\)"),
        ({"edges": ((1, 1),)}, "two different joints"),
        ({"joints": ("nose", "left_hand", "left_foot")}, "'left_hand' has no mirror partner 'right_hand'"),
        ({"joints": ("nose", "chin", "right_hand")}, "'right_hand' has no mirror partner 'left_hand'"),
    ],
)
def test_a_skeleton_that_contradicts_itself_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(SkeletonError, match=said) as caught:
        _make(**changes)
    assert "'toy'" in str(caught.value)  # the message says which skeleton


def test_flip_is_where_each_joint_is_found_after_mirroring() -> None:
    skeleton = _make()
    assert skeleton.flip.tolist() == [0, 2, 1]
    x = np.array([5.0, 2.0, 9.0])  # nose, left hand, right hand in an image 11 wide
    mirrored = (11 - 1 - x)[skeleton.flip]
    assert mirrored.tolist() == [5.0, 1.0, 8.0]  # the left hand is now where the right one was, mirrored


def test_flip_cannot_be_changed_by_a_caller() -> None:
    """The array is cached, so writing into it would corrupt every later flip of the process."""
    with pytest.raises(ValueError, match="read-only"):
        COCO17.flip[0] = 3


def test_index_and_lookup_by_name() -> None:
    assert COCO17.index("left_hip") == 11
    assert COCO17.names is COCO17.joints
    assert len(COCO17) == 17
    with pytest.raises(SkeletonError, match=r"'coco17' has no joint 'tail'; it has nose"):
        COCO17.index("tail")
    assert get_skeleton("lsp14") is LSP14
    with pytest.raises(SkeletonError, match=r"unknown skeleton 'coco18'; known: body25, coco17"):
        get_skeleton("coco18")
    assert match_skeleton(tuple(LSP14.joints)) is LSP14
    assert match_skeleton(LSP14.joints[::-1]) is None


def test_source_of_gives_minus_one_for_what_is_lacking() -> None:
    index = VITRUVIAN19.source_of(COCO17)
    assert index[:17].tolist() == list(range(17))
    assert index[17:].tolist() == [-1, -1]
    assert [VITRUVIAN19.joints[i] for i in LSP14.source_of(VITRUVIAN19)] == list(LSP14.joints)


def test_take_moves_values_by_name_and_marks_the_missing() -> None:
    points = np.arange(28, dtype=np.float64).reshape(14, 2)
    moved = VITRUVIAN19.take(LSP14, points, axis=0, missing=np.nan)
    for k, joint in enumerate(VITRUVIAN19.joints):
        if joint in LSP14.joints:
            assert moved[k].tolist() == points[LSP14.index(joint)].tolist()
        else:
            assert np.isnan(moved[k]).all()
    assert np.isfinite(points).all()


@pytest.mark.parametrize("axis", [1, -2])
def test_take_works_along_any_axis(axis: int, rng: np.random.Generator) -> None:
    batch = rng.normal(size=(5, 14, 2))
    moved = VITRUVIAN19.take(LSP14, batch, axis=axis, missing=np.nan)
    for sample, expected in zip(moved, batch, strict=True):
        np.testing.assert_array_equal(sample, VITRUVIAN19.take(LSP14, expected, axis=0, missing=np.nan))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "int64", "float32", "float64"])
def test_missing_nan_never_wraps_into_a_number(dtype: str) -> None:
    """Integers that get a NaN become floats wide enough to keep every value they held."""
    held = np.iinfo(dtype).max if dtype.startswith(("i", "u")) and dtype != "int64" else 1
    moved = VITRUVIAN19.take(LSP14, np.full(14, held, dtype), axis=0, missing=np.nan)
    lacking = VITRUVIAN19.source_of(LSP14) < 0
    assert np.isnan(moved[lacking]).all()
    assert (moved[~lacking].astype(np.float64) == float(held)).all()


@pytest.mark.parametrize(
    ("dtype", "missing"),
    [("int8", 0), ("int8", -1), ("uint8", 0), ("int64", 0), ("bool", False), ("float32", np.nan), ("float32", 0.1)],
)
def test_take_keeps_the_dtype_where_the_filler_fits(dtype: str, missing: float) -> None:
    """Visibility codes stay int8 whether or not a joint is lacking, so that samples of two data sets stack."""
    values = np.ones(14, dtype)
    assert VITRUVIAN19.take(LSP14, values, axis=0, missing=missing).dtype == values.dtype
    assert LSP14.take(LSP14, values, axis=0, missing=missing).dtype == values.dtype


def test_take_widens_where_the_filler_does_not_fit() -> None:
    moved = VITRUVIAN19.take(LSP14, np.ones(14, np.uint8), axis=0, missing=-1)
    assert moved[VITRUVIAN19.source_of(LSP14) < 0].tolist() == [-1] * 5
    half = VITRUVIAN19.take(LSP14, np.ones(14, np.int64), axis=0, missing=0.5)
    assert half[VITRUVIAN19.source_of(LSP14) < 0].tolist() == [0.5] * 5


def test_take_refuses_an_axis_of_the_wrong_length() -> None:
    with pytest.raises(SkeletonError, match=r"'coco17' to 'lsp14': axis 0 has 16 entries, expected 17"):
        LSP14.take(COCO17, np.zeros((16, 2)), axis=0, missing=np.nan)


def test_take_does_not_touch_its_input() -> None:
    values = np.arange(14.0)
    LSP14.take(LSP14, values, axis=0, missing=np.nan)[0] = 99
    VITRUVIAN19.take(LSP14, values, axis=0, missing=np.nan)[0] = 99
    assert values.tolist() == list(range(14))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "x", "joints": ["a"], "edges": []},
        {"name": "x", "joints": ["a"], "edges": [[0, 1, 2]], "sigmas": [0.1]},
        {"name": "x", "joints": ["a"], "edges": [], "sigmas": ["wide"]},
        {"name": "x", "joints": ["a"], "edges": 3, "sigmas": [0.1]},
        {"name": "x", "joints": ["a"], "edges": [[0, 0]], "sigmas": [0.1]},
        None,
        [1, 2],
    ],
)
def test_from_dict_refuses_what_is_no_skeleton(data: object) -> None:
    with pytest.raises(SkeletonError):
        Skeleton.from_dict(data)  # type: ignore[arg-type]


def test_skeletons_are_values() -> None:
    """Equal when rebuilt, hashable, and unharmed by pickling (workers receive them)."""
    rebuilt = Skeleton.from_dict(COCO17.to_dict())
    assert rebuilt == COCO17
    assert hash(rebuilt) == hash(COCO17)
    assert COCO17 != LSP14
    assert pickle.loads(pickle.dumps(COCO17)) == COCO17
    assert len({*SKELETONS.values(), rebuilt}) == len(SKELETONS)


def test_edges_by_name_joins_neighbours_of_a_chain() -> None:
    assert edges_by_name(("a", "b", "c", "d"), "a b c", "d a") == ((0, 1), (1, 2), (3, 0))
    assert edges_by_name(("a", "b")) == ()
    with pytest.raises(SkeletonError, match="no joint 'z'; the joints are a, b"):
        edges_by_name(("a", "b"), "a z")
