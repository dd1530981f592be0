"""Taking named values out of parsed files, with errors that name the file, the record and the field."""

from __future__ import annotations

import json
import numbers
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import FormatError

_REQUIRED: Any = object()


def load_text(path: str | os.PathLike) -> str:
    """The text of a UTF-8 file (a byte order mark is dropped); `FormatError` names a file that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise FormatError(path, "no such file") from error
    except IsADirectoryError as error:
        raise FormatError(path, "is a folder, expected a file") from error
    except UnicodeDecodeError as error:
        raise FormatError(
            path, f"is not UTF-8 text (byte {error.start}); is it another format, or compressed?"
        ) from error
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error}") from error


def load_json(path: str | os.PathLike) -> Any:
    """The parsed contents of a JSON file; `FormatError` says where the text stops being JSON."""
    text = load_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = " (the file ends there: is it truncated?)" if error.pos >= len(text.rstrip()) else ""
        raise FormatError(
            path, f"is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}{cut}"
        ) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise FormatError(path, f"has a number that cannot be read: {error}") from error
    except RecursionError as error:
        raise FormatError(path, "is nested too deeply to be an annotation file") from error


def records_in(path: object, value: Any, what: str) -> list:
    """``value`` if it is a list, else a `FormatError` saying what should have been there."""
    if not isinstance(value, list):
        raise FormatError(path, f"expected a list of {what}, got {describe(value)}")
    return value


def describe(value: Any) -> str:
    """A short, one-line rendering of any value, for error messages."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def is_number(value: Any) -> bool:
    """Whether a parsed value is a finite number (a bool is not)."""
    # The usual types first, since asking numbers.Real is slow. Comparing is False for NaN, and does not overflow as
    # converting a huge whole number would.
    if type(value) is int or type(value) is float:
        return abs(value) <= sys.float_info.max
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


class Fields:
    """One record of a parsed file; its fields are taken out by name and checked.

    Parameters
    ----------
    path : the file, for error messages.
    record : which record of it, for error messages.
    data : the record; `FormatError` unless it is a mapping.
    """

    def __init__(self, path: Any, record: object, data: Any):
        self.path, self.record = path, record
        if not isinstance(data, Mapping):
            raise FormatError(path, f"expected named fields, got {describe(data)}", record=record)
        self.data: Mapping[str, Any] = data

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def fail(self, name: str | None, problem: str, cause: Exception | None = None) -> NoReturn:
        """Raise the `FormatError` of one field."""
        raise FormatError(self.path, problem, record=self.record, field=name) from cause

    def rest(self, *known: str) -> dict[str, Any]:
        """The fields that are not ``known``: what a reader keeps in ``extra``."""
        return {name: value for name, value in self.data.items() if name not in known}

    def value(self, name: str, default: Any = _REQUIRED) -> Any:
        """A field as it is; ``default`` where it is absent or null, and an error where there is no default."""
        found = self.data.get(name)
        if found is not None:
            return found
        if default is _REQUIRED:
            present = ", ".join(map(str, self.data)) or "none"
            self.fail(name, f"is missing; the fields here are: {present}")
        return default

    def text(self, name: str, default: Any = _REQUIRED) -> Any:
        """A string that is not empty."""
        found = self.value(name, default)
        if found is default:
            return default
        if not isinstance(found, str) or not found:
            self.fail(name, f"expected text, got {describe(found)}")
        return str(found)

    def number(self, name: str, default: Any = _REQUIRED) -> Any:
        """A finite float."""
        found = self.value(name, default)
        if found is default:
            return default
        if not is_number(found):
            self.fail(name, f"expected a finite number, got {describe(found)}")
        return float(found)

    def integer(self, name: str, default: Any = _REQUIRED) -> Any:
        """An integer; 3.0 counts as one, since MATLAB and others write all numbers as floats."""
        found = self.number(name, default)
        if found is default:
            return default
        if found != round(found):
            self.fail(name, f"expected a whole number, got {describe(self.data[name])}")
        return round(found)

    def identifier(self, name: str, default: Any = _REQUIRED) -> Any:
        """An id: a whole number or text."""
        found = self.value(name, default)
        if found is default or type(found) is int or (isinstance(found, str) and found):
            return found
        if not is_number(found) or float(found) != round(float(found)):
            self.fail(name, f"expected a whole number or text, got {describe(found)}")
        return int(found)

    def items(self, name: str, default: Any = _REQUIRED) -> Any:
        """A list."""
        found = self.value(name, default)
        if found is default:
            return default
        if not isinstance(found, list):
            self.fail(name, f"expected a list, got {describe(found)}")
        return found

    def numbers(self, name: str, shape: tuple[int, ...], default: Any = _REQUIRED) -> Any:
        """Finite numbers as a float64 array of that shape; -1 in ``shape`` stands for any length."""
        found = self.value(name, default)
        if found is default:
            return default
        return self.array(name, found, shape)

    def integers(self, name: str, shape: tuple[int, ...], default: Any = _REQUIRED) -> Any:
        """`numbers` that are whole, as an int64 array."""
        found = self.numbers(name, shape, default)
        if found is default:
            return default
        wrong = (found != np.round(found)) | (np.abs(found) > 2**53)
        if wrong.any():
            self.fail(name, f"expected whole numbers, got {found[wrong][0]:g} among them")
        return found.astype(np.int64)

    def array(self, name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        """`numbers` for a value that was already taken out."""
        wanted = f"{'x'.join('n' if n < 0 else str(n) for n in shape)} finite numbers"
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            self.fail(name, f"expected {wanted}, got rows of different lengths", error)
        if array.size == 0:
            array = array.astype(np.float64)
        if array.dtype.kind not in "iuf":
            self.fail(name, f"expected {wanted}, got {_offender(value)}")
        if array.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)):
            self.fail(name, f"expected {wanted}, got {'x'.join(map(str, array.shape)) or 'a single number'}")
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            self.fail(name, f"expected {wanted}, got {array[~np.isfinite(array)][0]} among them")
        return array


def _offender(value: Any) -> str:
    """Describes the first entry of a nested list that is not a number."""
    if isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            if isinstance(entry, list | tuple):
                inner = _offender(entry)
                if inner:
                    return inner
            elif not isinstance(entry, numbers.Real) or isinstance(entry, bool):
                return f"{describe(entry)} at position {i}"
        return ""
    return describe(value)
