"""C3D through ezc3d: round trips, gaps, units, files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import FormatError, MissingExtraError
from vitruvian.formats.c3d import read_c3d, write_c3d
from vitruvian.formats.motion import Motion


def test_round_trip(rng: np.random.Generator, tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    positions = rng.normal(0, 1000, (6, 4, 3))
    positions[2, 1] = np.nan
    motion = Motion(("hip", "knee", "ankle", "head top"), (-1, 0, 1, 0), positions, 100.0, "walk")
    back = read_c3d(write_c3d(tmp_path / "walk.c3d", motion))
    assert (back.joints, back.fps, back.name) == (motion.joints, 100.0, "walk")
    np.testing.assert_allclose(back.positions_mm, positions, rtol=1e-6, atol=1e-3)  # 32-bit floats; NaN where it was


def test_what_is_no_c3d(tmp_path: Path) -> None:
    pytest.importorskip("ezc3d")
    with pytest.raises(FormatError, match="no such file"):
        read_c3d(tmp_path / "none.c3d")
    (tmp_path / "text.c3d").write_text("hello", encoding="utf-8")
    with pytest.raises(FormatError, match="not a C3D file"):
        read_c3d(tmp_path / "text.c3d")
    with pytest.raises(FormatError, match="at least one frame"):
        write_c3d(tmp_path / "x.c3d", Motion(("a",), (-1,), np.zeros((0, 1, 3)), 10.0))
    assert not (tmp_path / "x.c3d").exists()


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    with pytest.raises(MissingExtraError, match=r"vitruvian\[mocap\]"):
        write_c3d(tmp_path / "x.c3d", Motion(("a",), (-1,), np.zeros((1, 1, 3)), 10.0))
