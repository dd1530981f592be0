"""MATLAB files as plain Python values, through scipy (the extra ``data``)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..extras import need
from .writing import atomic_path


def load_mat(path: str | os.PathLike, purpose: str) -> dict[str, Any]:
    """The variables of a ``.mat`` file of version 4 to 7.2; structs are scipy's objects, for `struct_fields`.

    Raises `FormatError` for a file that is not one, and `MissingExtraError` where scipy is not installed.
    """
    io = need("scipy.io", "data", purpose)
    if not Path(path).is_file():
        raise FormatError(path, "no such file" if not Path(path).exists() else "is a folder, expected a .mat file")
    try:
        variables = io.loadmat(os.fspath(path), struct_as_record=False, squeeze_me=True)
    except NotImplementedError as error:
        raise FormatError(path, "is a MATLAB 7.3 file, which scipy cannot read; save it with -v7 in MATLAB") from error
    except Exception as error:  # scipy meets damaged files with many kinds of exceptions
        raise FormatError(path, f"cannot be read as a MATLAB file, is it truncated? ({error})") from error
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def save_mat(path: str | os.PathLike, variables: Mapping[str, Any], purpose: str) -> Path:
    """Write a ``.mat`` file of version 5 atomically."""
    io = need("scipy.io", "data", purpose)
    with atomic_path(path) as temporary:
        io.savemat(os.fspath(temporary), dict(variables), appendmat=False, do_compression=True, oned_as="row")
    return Path(path)


def struct_fields(value: Any) -> dict[str, Any] | None:
    """The fields of one struct, without those that hold ``[]``; None where ``value`` is no struct."""
    names = getattr(value, "_fieldnames", None)
    if names is None:
        return None
    found = {name: getattr(value, name) for name in names}
    return {name: inner for name, inner in found.items() if not (isinstance(inner, np.ndarray) and inner.size == 0)}


def as_list(value: Any) -> list[Any]:
    """The elements of a struct array or cell array; one alone, which loading unwraps, becomes a list of one."""
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        return list(value.ravel())
    return [value]


def struct_array(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> np.ndarray:
    """A 1 x N struct array to save; a field that a row lacks becomes ``[]``, as in MATLAB."""
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for i, row in enumerate(rows):
        for name in names:
            value = row.get(name)
            array[0, i][name] = np.zeros((0, 0)) if value is None else value
    return array


def cell_row(values: Sequence[Any]) -> np.ndarray:
    """A 1 x N cell array to save."""
    array = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        array[0, i] = value
    return array
