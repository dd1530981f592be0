"""``vitruvian predict --3d``: the file and what it says, pages, cameras, what stays of older runs, usage errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vitruvian.cli import main
from vitruvian.skeletons import H36M17

_PHOTO = Path(__file__).resolve().parents[2] / "docs" / "images" / "astronaut.jpg"


def _run(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["predict", "--detector", "none", "--threads", "1", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


def test_a_photo_with_a_camera(tmp_path: Path) -> None:
    _run(_PHOTO, "--3d", "--focal-px", 700, "--height-mm", 1800, "--out", tmp_path)
    record = json.loads((tmp_path / "joints3d.json").read_text(encoding="utf-8"))
    assert record["joints"] == list(H36M17.joints)
    assert "1800 mm tall" in record["scale"]
    assert "camera that was given" in record["axes"]
    (person,) = record["images"][0]["people"]
    joints, place = np.array(person["joints_mm"]), np.array(person["translation_mm"])
    assert joints.shape == (17, 3)
    assert not joints[0].any()
    assert place[2] > 0
    # Upright in the photo, so upright here: y points down.
    assert joints[H36M17.index("head_top"), 1] < joints[H36M17.index("thorax"), 1] < 0
    page = (tmp_path / "astronaut_3d.html").read_text(encoding="utf-8")
    assert "1800 mm tall" in page
    assert "data:image/jpeg" in page
    with Image.open(tmp_path / "astronaut_3d.png") as picture:
        assert picture.width == 320


def test_without_a_camera_and_without_pictures(tmp_path: Path) -> None:
    _run(_PHOTO, "--3d", "--no-draw", "--out", tmp_path)
    record = json.loads((tmp_path / "joints3d.json").read_text(encoding="utf-8"))
    assert "looks at the person" in record["axes"]
    assert "translation_mm" not in record["images"][0]["people"][0]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json"]


def test_a_photo_that_cannot_be_read_leaves_nothing_of_an_older_run(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"no photo")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("photo_3d.png", "photo_3d.html", "joints3d.json"):
        (out / name).write_text("older", encoding="utf-8")
    _run(photo, "--3d", "--out", out, status=1)
    assert not (out / "photo_3d.png").exists()
    assert not (out / "photo_3d.html").exists()
    assert json.loads((out / "joints3d.json").read_text(encoding="utf-8"))["images"] == []


@pytest.mark.parametrize("option", ["--focal-px", "--height-mm"])
def test_options_without_effect_are_refused(option: str, tmp_path: Path) -> None:
    assert "give --3d too" in _run(_PHOTO, option, 500, "--out", tmp_path, status=2)
