"""``data_3d_h36m.npz`` is read without unpickling it; files that would run something are refused, and run nothing."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitruvian.data.h36m import read_positions_npz
from vitruvian.data.h36m.names import CAMERAS, OF_32
from vitruvian.data.h36m.restricted import read_object_npz
from vitruvian.errors import FormatError


def _write(path: Path, world) -> Path:
    metres = {s: {t: (p / 1000).astype(np.float32) for t, p in takes.items()} for s, takes in world.takes.items()}
    np.savez_compressed(path, positions_3d=metres)  # type: ignore[arg-type]
    return path


def _raw(path: Path, pickled: bytes) -> Path:
    """An .npz whose array of objects is this pickle."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("positions_3d.npy", file.getvalue() + pickled)
    return path


def test_positions_in_the_world(world, tmp_path: Path) -> None:
    frames = read_positions_npz(_write(tmp_path / "data_3d_h36m.npz", world))
    assert frames.axes == "world"
    assert len(frames) == 2 * (4 + 3 + 2)
    for subject, takes in world.takes.items():
        for take, joints in takes.items():
            part = frames.select(frames.sequence == f"{subject}/{take}")
            np.testing.assert_allclose(part.joints_mm, joints[:, OF_32], atol=1e-3)
    walking = read_positions_npz(tmp_path / "data_3d_h36m.npz", subjects=["S9"], actions=["Walking"])
    assert len(walking) == 7
    assert set(walking.subject) == {"S9"}


def test_with_cameras_each_sees_every_frame(world, write_xml, tmp_path: Path) -> None:
    path, cameras = _write(tmp_path / "a.npz", world), write_xml(tmp_path / "metadata.xml", world)
    frames = read_positions_npz(path, cameras=cameras, actions=["WalkDog"])
    assert frames.axes == "camera"
    assert len(frames) == 2 * 2 * 4
    for name in CAMERAS:
        part = frames.select(frames.sequence == f"S9/WalkDog/{name}")
        np.testing.assert_allclose(part.joints_mm, world.seen_17("S9", "WalkDog", name), atol=2e-3)
        np.testing.assert_allclose(part.keypoints_px, world.pixels("S9", "WalkDog", name)[:, OF_32], atol=2e-3)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_of_every_protocol(protocol: int, tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {
        "a": rng.normal(size=(3, 2)),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
        "big endian": rng.integers(0, 99, 5).astype(">i4"),
        "bool": rng.random(4) < 0.5,
        "empty": np.zeros((0, 3)),
        "deep": {"list": [np.arange(3), "text", 1, 2.5, None], "bytes": np.frombuffer(b"\xff\x00", np.uint8)},
    }
    path = _raw(tmp_path / "a.npz", pickle.dumps(np.array(arrays, dtype=object), protocol=protocol))
    found = read_object_npz(path, "positions_3d")
    for name in ("a", "fortran", "big endian", "bool", "empty"):
        np.testing.assert_array_equal(found[name], arrays[name])
        assert found[name].dtype.kind == arrays[name].dtype.kind
    np.testing.assert_array_equal(found["deep"]["list"][0], np.arange(3))
    assert found["deep"]["list"][1:] == ["text", 1, 2.5, None]
    np.testing.assert_array_equal(found["deep"]["bytes"], [255, 0])


class _Runs:
    """What a malicious file holds: something to call when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def _touch(path: str) -> None:
    Path(path).touch()


def test_files_that_run_something_are_refused_and_run_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    command = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    payloads = {
        "a command": _Runs(os.system, f"touch '{mark}'"),
        "code": _Runs(eval, command),
        "execution": _Runs(exec, command),
        "a module": _Runs(__import__, "antigravity"),
        "an attribute": _Runs(getattr, "text", "upper"),
        "a file": _Runs(np.load, str(mark)),
        "a function of the test's": _Runs(_touch, str(mark)),
    }
    for name, payload in payloads.items():
        for data in (payload, {"S1": {"Walking": payload}}, np.array({"S1": payload}, dtype=object)):
            for protocol in (0, 2, 4):
                path = _raw(tmp_path / "bad.npz", pickle.dumps(data, protocol=protocol))
                with pytest.raises(FormatError, match="holds more than numbers and names: it wants to call"):
                    read_positions_npz(path)
                assert not mark.exists(), name
    # The check above would pass as well if the payload did nothing.
    pickle.loads(pickle.dumps(payloads["code"]))
    assert mark.exists()


def _array_pickle(kind: str, shape: tuple, code: str, state: tuple, data: Any) -> bytes:
    """A forged array, opcode by opcode as pickle would: numpy's own constructors with a state of one's own."""

    class Forged:
        def __reduce__(self) -> Any:
            class Type:
                def __reduce__(self) -> Any:
                    return np.dtype, (code, False, True), state

            multiarray = getattr(np, "_core", None) or np.core  # type: ignore[attr-defined]
            reconstruct = multiarray.multiarray._reconstruct
            return reconstruct, (np.ndarray, (0,), b"b"), (1, shape, Type(), False, data)

    return pickle.dumps(Forged() if kind == "array" else {"S1": Forged()})


@pytest.mark.parametrize(
    ("shape", "code", "state", "data"),
    [
        ((2,), "O8", (3, "|", None, None, None, -1, -1, 0), b"\x10" * 16),  # bytes that pass for pointers
        ((9,), "f8", (3, "<", None, None, None, -1, -1, 0), b"\0" * 16),  # longer than its bytes
        ((2,), "V8", (3, "|", None, None, None, -1, -1, 0), b"\0" * 16),
        ((2,), "f8", (3, "<", None, ("a",), {"a": 1}, 8, 8, 0), b"\0" * 16),  # with fields
        ((-2,), "f8", (3, "<", None, None, None, -1, -1, 0), b"\0" * 16),
        ((2, 2), "O8", (3, "|", None, None, None, -1, -1, 63), [1, 2]),
    ],
)
def test_forged_arrays_are_refused(shape: tuple, code: str, state: tuple, data: Any, tmp_path: Path) -> None:
    path = _raw(tmp_path / "forged.npz", _array_pickle("array", shape, code, state, data))
    with pytest.raises(FormatError, match="array"):
        read_object_npz(path, "positions_3d")


def test_other_files(world, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.npz", world)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"PK no zip"):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="cannot be read"):
            read_positions_npz(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(FormatError, match=r"lacks the array 'positions_3d'; it has \['other'\]"):
        read_positions_npz(path)
    np.savez(path, positions_3d=np.zeros(3))
    with pytest.raises(FormatError, match="expected one object"):
        read_positions_npz(path)
    for content in ({"S1": 3}, {}, [1]):
        _raw(path, pickle.dumps(content))
        with pytest.raises(FormatError, match="dictionary of subjects"):
            read_positions_npz(path)
    _raw(path, pickle.dumps({"S1": {"Walking": np.zeros((3, 31, 3))}}))
    with pytest.raises(FormatError, match=r"S1/Walking.*expected \(frames, 32, 3\)"):
        read_positions_npz(path)
    endless: list = []
    endless.append(endless)
    _raw(path, pickle.dumps(endless))
    with pytest.raises(FormatError, match="cannot be read"):
        read_positions_npz(path)
    with pytest.raises(FormatError, match="no such file"):
        read_positions_npz(tmp_path / "nothing.npz")
    _write(path, world)
    with pytest.raises(FormatError, match="no subject S5; it has S1, S9"):
        read_positions_npz(path, subjects=["S5"])
    with pytest.raises(FormatError, match="no take of"):
        read_positions_npz(path, actions=["Flying"])
