"""``vitruvian motion``: every target, takes by name, rates, usage errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vitruvian.cli import main
from vitruvian.cli.motion import TARGETS
from vitruvian.errors import FormatError
from vitruvian.formats.bvh import read_bvh
from vitruvian.formats.mocap_npz import write_mocap_npz
from vitruvian.formats.motion import Motion
from vitruvian.formats.motion_files import MOTION_READERS, read_motion
from vitruvian.skeletons import H36M17

_PARENTS = (-1, *({b: a for a, b in H36M17.edges}[k] for k in range(1, len(H36M17))))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two takes of somebody stiff who moves along."""
    body = np.random.default_rng(1).normal(0, 300, (17, 3))
    motions = [
        Motion(H36M17.joints, _PARENTS, body + np.arange(8.0)[:, None, None] * 10, 60.0, name)
        for name in ("one", "two")
    ]
    return write_mocap_npz(tmp_path / "takes.npz", motions)


def _run(*arguments: object) -> str:
    done = CliRunner().invoke(main, ["motion", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("target", TARGETS)
def test_targets(target: str, file: Path, tmp_path: Path) -> None:
    needs = {"c3d": "ezc3d", "mp4": "av"}
    if target in needs:
        pytest.importorskip(needs[target])
    out = tmp_path / f"out.{target}"
    said = _run(file, "--take", "two", "--to", target, "--out", out)
    assert out.stat().st_size > 500
    shown = target in ("html", "gif", "mp4")
    assert ("4 frames at 30 fps" if shown else "8 frames at 60 fps") in said
    if out.suffix in MOTION_READERS:
        (original,) = (m for m in read_motion(file) if m.name == "two")
        (back,) = read_motion(out)
        np.testing.assert_allclose(back.pick(H36M17.joints), original.positions_mm, atol=1.0)


def test_takes_are_listed_and_chosen(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(file).splitlines() == ["one: 8 frames at 60 fps, 17 joints", "two: 8 frames at 60 fps, 17 joints"]
    for arguments in ((), ("--take", "three")):
        done = CliRunner().invoke(main, ["motion", str(file), "--to", "bvh", *arguments])
        assert done.exit_code == 2
        assert "one, two" in done.output
    monkeypatch.chdir(tmp_path)
    assert "3 frames at 20 fps" in _run(file, "--take", "one", "--to", "bvh", "--every", 3)
    assert len(read_bvh(tmp_path / "one.bvh")) == 3


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    """The skeleton of an AMC is found beside it."""
    raw = shared_data / "mocap" / "raw"
    assert "02_03: 173 frames at 120 fps" in _run(raw / "02_03.amc", "--to", "trc", "--out", tmp_path / "a.trc")
    (tmp_path / "x.amc").write_text("", encoding="utf-8")
    with pytest.raises(FormatError, match="needs its skeleton"):
        read_motion(tmp_path / "x.amc")
    with pytest.raises(FormatError, match=r"motion is read from \.amc, \.bvh"):
        read_motion(tmp_path / "x.fbx")


def test_the_file_says_what_to_write(file: Path, tmp_path: Path) -> None:
    _run(file, "--take", "one", "--out", tmp_path / "walk.BVH")
    assert len(read_bvh(tmp_path / "walk.BVH").positions_mm) == 8


@pytest.mark.parametrize(("options", "words"), [(["--to", "bvh"], "two kinds"), ([], "ends in")])
def test_a_file_of_another_kind_is_refused(file: Path, tmp_path: Path, options: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["motion", str(file), *options, "--out", str(tmp_path / "x.avi")])
    assert done.exit_code == 2
    assert words in done.output
    assert not (tmp_path / "x.avi").exists()


def test_markers_have_no_bones(file: Path, tmp_path: Path) -> None:
    _run(file, "--take", "one", "--to", "trc", "--out", tmp_path / "i.trc")
    done = CliRunner().invoke(main, ["motion", str(tmp_path / "i.trc"), "--to", "bvh"])
    assert "no bones" in str(done.exception) + done.output
