"""TRC: the header by hand, round trips, gaps, malformed files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError
from vitruvian.formats.motion import Motion
from vitruvian.formats.trc import read_trc, write_trc

_FILE = (
    "PathFileType\t4\t(X/Y/Z)\ttwo.trc\n"
    "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
    "50\t50\t2\t2\tmm\t50\t1\t2\n"
    "Frame#\tTime\thip\t\t\tknee\t\t\n"
    "\t\tX1\tY1\tZ1\tX2\tY2\tZ2\n"
    "\n"
    "1\t0.000000\t1.0\t2.0\t3.0\t4.0\t5.0\t6.0\n"
    "2\t0.020000\t1.5\t2.0\t3.0\t\t\t\n"
)


def test_a_file_by_hand(tmp_path: Path) -> None:
    positions = np.array([[[1, 2, 3], [4, 5, 6]], [[1.5, 2, 3], [np.nan] * 3]])
    path = write_trc(tmp_path / "two.trc", Motion(("hip", "knee"), (-1, 0), positions, 50.0), decimals=1)
    assert path.read_text(encoding="utf-8") == _FILE
    back = read_trc(path)
    assert (back.joints, back.parents, back.fps, back.name) == (("hip", "knee"), (-1, -1), 50.0, "two")
    np.testing.assert_array_equal(back.positions_mm, positions)


def test_round_trip(rng: np.random.Generator, tmp_path: Path) -> None:
    positions = rng.normal(0, 2000, (7, 5, 3))
    positions[rng.random((7, 5)) < 0.2] = np.nan
    motion = Motion(tuple("abcde"), (-1,) * 5, positions, 119.88)
    back = read_trc(write_trc(tmp_path / "m.trc", motion))
    np.testing.assert_allclose(back.positions_mm, positions, atol=5.1e-4)
    assert back.fps == pytest.approx(119.88)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1000), ("cm", 10), ("mm", 1)])
def test_units(tmp_path: Path, unit: str, factor: float) -> None:
    (tmp_path / "u.trc").write_text(_FILE.replace("\tmm\t", f"\t{unit}\t"), encoding="utf-8")
    assert read_trc(tmp_path / "u.trc").positions_mm[0, 1].tolist() == [4 * factor, 5 * factor, 6 * factor]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("PathFileType", "Something"), "header lines"),
        (("\tmm\t", "\tinch\t"), "Units"),
        (("50\t50\t2", "fast\t50\t2"), "DataRate"),
        (("50\t2\t2", "50\t2\t3"), "names 2 markers"),
        (("50\t2\t2", "50\t4\t2"), "truncated"),
        (("4.0\t5.0", "4.0\tfive"), "'five' is no number"),
        (("5.0\t6.0", "5.0\t6.0\t7.0"), "expected 6 values"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "bad.trc").write_text(_FILE.replace(*change), encoding="utf-8")
    with pytest.raises(FormatError, match=said):
        read_trc(tmp_path / "bad.trc")


def test_no_file_and_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_trc(tmp_path / "none.trc")
    with pytest.raises(FormatError, match="tab or line break"):
        write_trc(tmp_path / "x.trc", Motion(("a\tb",), (-1,), np.zeros((1, 1, 3)), 10.0))
    assert not (tmp_path / "x.trc").exists()
