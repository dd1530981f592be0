"""Arrays of objects out of an ``.npz`` without running what is in it.

``data_3d_h36m.npz`` and its kin hold pickled dictionaries, and unpickling runs whatever a file asks for. Here a pickle
may name a handful of things, and gets none of them but stand-ins, which keep what the file says of a type or an array.
Arrays are then made from their bytes, after checks; so a forged type cannot pass bytes off as pointers either.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError

_PLAIN = frozenset(f"{kind}{size}" for kind, sizes in (("f", "248"), ("i", "1248"), ("u", "1248")) for size in sizes)
_PLAIN_BOOL = "b1"
_TEXT_LIMIT = 1 << 31  # bytes of one member, unpacked


class _Dtype:
    def __init__(self, code: Any, *rest: Any) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array's type has fields")
        self.order = state[1] if state[1] in ("<", ">") else "="


class _Array:
    shape: tuple[int, ...] = ()
    dtype: _Dtype | None = None
    fortran: Any = False
    data: Any = None

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state
        self.check()

    def check(self) -> _Array:
        if not isinstance(self.dtype, _Dtype) or not all(type(n) is int and n >= 0 for n in self.shape):
            raise pickle.UnpicklingError("an array without a type or shape")
        return self


def _reconstruct(kind: Any, *rest: Any) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another class")
    return _Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C", *rest: Any) -> _Array:
    array = _Array()
    array.shape, array.dtype, array.fortran = tuple(shape), dtype, order == "F"
    array.data = bytes(data) if isinstance(data, bytes | bytearray) else None
    return array.check()


def _no_bytes() -> bytes:
    return b""


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text in another encoding")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,  # how protocol 2 writes bytes, and
    ("__builtin__", "bytes"): _no_bytes,  # that there are none
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside of the file")


def read_object_npz(path: str | os.PathLike, name: str) -> Any:
    """What the array of objects ``name`` of an ``.npz`` holds: dictionaries, lists, text, numbers and plain arrays.

    Raises
    ------
    FormatError
        Not such a file, no such array, or one that holds (or asks to call) anything else; nothing of it is run.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if f"{name}.npy" not in members:
                raise FormatError(path, f"lacks the array '{name}'; it has {[m.removesuffix('.npy') for m in members]}")
            if archive.getinfo(f"{name}.npy").file_size > _TEXT_LIMIT:
                raise FormatError(path, f"its array '{name}' takes more than {_TEXT_LIMIT >> 30} GB unpacked")
            file = io.BytesIO(archive.read(f"{name}.npy"))
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype != np.dtype(object) or shape != ():
            raise FormatError(path, f"expected one object, got an array {shape} of {dtype}", field=name)
        return _plain(_Unpickler(file, encoding="latin1").load())
    except FormatError:
        raise
    except pickle.UnpicklingError as error:
        raise FormatError(
            path, f"is not opened, since it holds more than numbers and names: {error}", field=name
        ) from error
    except Exception as error:  # a damaged pickle raises about anything
        raise FormatError(path, f"cannot be read: {type(error).__name__}: {error}", field=name) from error


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return _array(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__} where numbers were expected")


def _array(stored: _Array) -> Any:
    """A plain array from its bytes; what an array of objects without axes holds; a list for one with an axis."""
    assert stored.dtype is not None
    code = stored.dtype.code
    if code.startswith("O"):
        if not isinstance(stored.data, list) or len(stored.data) != math.prod(stored.shape) or len(stored.shape) > 1:
            raise pickle.UnpicklingError("an array of objects whose shape is not that of its list")
        items = [_plain(item) for item in stored.data]
        return items if stored.shape else items[0]
    if code not in _PLAIN and code != _PLAIN_BOOL:
        raise pickle.UnpicklingError(f"an array of type '{code}'")
    dtype = np.dtype(code).newbyteorder(stored.dtype.order)  # type: ignore[arg-type]
    if not isinstance(stored.data, bytes) or len(stored.data) != math.prod(stored.shape) * dtype.itemsize:
        raise pickle.UnpicklingError("an array whose shape is not that of its bytes")
    return np.frombuffer(stored.data, dtype).reshape(stored.shape, order="F" if stored.fortran else "C").copy()
