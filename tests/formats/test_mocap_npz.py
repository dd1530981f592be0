"""Takes in one .npz: round trip, contradictions refused, the real file against what its makers say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError
from vitruvian.formats.mocap_npz import read_mocap_npz, write_mocap_npz
from vitruvian.formats.motion import Motion
from vitruvian.skeletons import H36M17

_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)


def _motions(rng: np.random.Generator) -> list[Motion]:
    made = []
    for i, frames in enumerate((5, 1, 0, 8)):
        places = rng.normal(size=(frames, 17, 3)) * 400 + rng.uniform(-1e5, 1e5, (frames, 1, 3))
        made.append(Motion(H36M17.joints, _PARENTS, places, 15.0 + i, f"take {i}"))
    return made


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    motions = _motions(rng)
    again = read_mocap_npz(write_mocap_npz(tmp_path / "a" / "takes.npz", motions))
    assert [(m.name, m.fps, m.joints, m.parents) for m in again] == [
        (m.name, m.fps, m.joints, m.parents) for m in motions
    ]
    for got, expected in zip(again, motions, strict=True):
        assert np.abs(got.positions_mm - expected.positions_mm).max(initial=0) <= 0.5 + 1e-9
    assert read_mocap_npz(write_mocap_npz(tmp_path / "none.npz", [])) == []


def test_joints_are_matched_by_name(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_mocap_npz(tmp_path / "takes.npz", _motions(rng))
    plain, arrays = read_mocap_npz(path), _arrays(path)
    order = [0, *(1 + rng.permutation(16))]
    names = np.array(["neck" if n == "neck_base" else n for n in arrays["joint_name"]])
    np.savez(path, **{**arrays, "joints_mm": arrays["joints_mm"][:, order], "joint_name": names[order]})
    for got, expected in zip(read_mocap_npz(path), plain, strict=True):
        assert got.joints == H36M17.joints
        np.testing.assert_array_equal(got.positions_mm, expected.positions_mm)


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("fps", lambda a: -a, "positive"),
        ("fps", lambda a: a[:1], "belong together"),
        ("root_mm", lambda a: a[:-1], "belong together"),
        ("joints_mm", lambda a: a[:, :, :2], "belong together"),
        ("joints_mm", lambda a: a[0], "joints_mm"),
        ("sequence_start", lambda a: a[::-1], "ascending"),
        ("sequence_start", lambda a: a + 1, "ascending"),
        ("joint_name", lambda a: a[::-1], "h36m17"),
        ("joint_name", lambda a: np.arange(17), "joint_name"),
    ],
)
def test_contradictions_are_refused(field: str, change, said: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_mocap_npz(tmp_path / "takes.npz", _motions(rng))
    arrays = _arrays(path)
    np.savez(path, **{**arrays, field: change(arrays[field])})
    with pytest.raises(FormatError, match=said):
        read_mocap_npz(path)


def test_files_that_are_no_such_files(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write_mocap_npz(tmp_path / "takes.npz", _motions(rng))
    good, arrays = path.read_bytes(), _arrays(path)
    for end in (0, 10, len(good) // 2, len(good) - 5):
        path.write_bytes(good[:end])
        with pytest.raises(FormatError):
            read_mocap_npz(path)
    np.savez(path, **{k: v for k, v in arrays.items() if k != "fps"})
    with pytest.raises(FormatError, match="lacks fps"):
        read_mocap_npz(path)
    np.savez(path, **{**arrays, "sequence_name": np.array([{"a": 1}] * 4, dtype=object)})  # would have to be unpickled
    with pytest.raises(FormatError, match="cannot be read"):
        read_mocap_npz(path)
    with pytest.raises(FormatError, match="no such file"):
        read_mocap_npz(tmp_path / "none.npz")


def test_what_does_not_fit_is_not_written(tmp_path: Path, rng: np.random.Generator) -> None:
    good = _motions(rng)[0]
    far, lost = good.positions_mm.copy(), good.positions_mm.copy()
    far[0, 3] += 40_000
    lost[1, 2, 0] = np.nan
    for bad in (replace(good, positions_mm=far), replace(good, positions_mm=lost)):
        with pytest.raises(FormatError, match="32 m"):
            write_mocap_npz(tmp_path / "a.npz", [bad])
    with pytest.raises(FormatError, match="h36m17"):
        write_mocap_npz(tmp_path / "a.npz", [replace(good, joints=tuple(reversed(good.joints)))])
    assert not (tmp_path / "a.npz").exists()


def test_the_real_takes(shared_data: Path) -> None:
    takes = read_mocap_npz(shared_data / "mocap" / "cmu_h36m17_15fps.npz")
    assert (len(takes), sum(map(len, takes))) == (132, 27737)
    assert all(take.fps == pytest.approx(15, rel=0.1) for take in takes)
    walk = takes[0]
    for i, parent in enumerate(walk.parents):
        if parent >= 0:
            length = np.linalg.norm(walk.positions_mm[:, i] - walk.positions_mm[:, parent], axis=1)
            assert length.std() < 5
            assert 50 < length.mean() < 500
    above = walk.pick(["head_top"]) - walk.pick(["left_ankle"])
    assert np.median(above[..., 1]) > 1000  # y up
