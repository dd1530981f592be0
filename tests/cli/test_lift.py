"""``vitruvian predict --3d``: the file and what it says, pages, cameras, what stays of older runs, usage errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vitruvian.cli import main
from vitruvian.cli._pictures import save_picture
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
    camera = record["images"][0]["camera"]
    width, height = camera["size_wh"]
    assert camera["focal_px"] == [700, 700]
    assert camera["principal_px"] == [(width - 1) / 2, (height - 1) / 2]
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
    save_picture(out / "photo_3d.png", np.zeros((4, 4, 3), np.uint8), "_3d.png")
    (out / "photo_3d.html").write_text('<meta name="generator" content="Vitruvian">older', encoding="utf-8")
    (out / "joints3d.json").write_text("older", encoding="utf-8")
    _run(photo, "--3d", "--out", out, status=1)
    assert not (out / "photo_3d.png").exists()
    assert not (out / "photo_3d.html").exists()
    assert json.loads((out / "joints3d.json").read_text(encoding="utf-8"))["images"] == []


def test_the_principal_point_moves_people_sideways(tmp_path: Path) -> None:
    """The same picture, seen beside its middle: by the shift over the focal length of their distance, about."""
    places = []
    for x in (100, 170):
        _run(_PHOTO, "--3d", "--no-draw", "--focal-px", 700, "--principal-px", x, 150, "--out", tmp_path)
        (image,) = json.loads((tmp_path / "joints3d.json").read_text(encoding="utf-8"))["images"]
        assert image["camera"]["principal_px"] == [x, 150]
        places.append(np.array(image["people"][0]["translation_mm"]))
    assert (places[0] - places[1])[0] == pytest.approx(70 / 700 * places[0][2], rel=0.15)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--focal-px", 500], "give --3d too"),
        (["--height-mm", 500], "give --3d too"),
        (["--principal-px", 5, 5], "give --3d too"),
        (["--3d", "--principal-px", 5, 5], "give both"),
    ],
)
def test_options_without_effect_are_refused(options: list, words: str, tmp_path: Path) -> None:
    assert words in _run(_PHOTO, *options, "--out", tmp_path, status=2)
