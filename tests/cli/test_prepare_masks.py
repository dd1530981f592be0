"""``vitruvian prepare masks-and-joints``: options reach the factory, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vitruvian.cli import main


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two photos of 40 x 60 with 14 joints and masks; the joints of the second are no JSON."""
    for name in ("images", "poses", "masks"):
        (tmp_path / name).mkdir()
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (60, 40, 3), dtype=np.uint8)).save(tmp_path / f"images/{i}.png")
        Image.fromarray(np.full((60, 40), 255, np.uint8)).save(tmp_path / f"masks/{i}.png")
        triplets = np.concatenate([rng.uniform(5, 35, (25, 2)), np.ones((25, 1))], axis=1)
        triplets[14:] = 0
        people = [{"person_id": [-1], "pose_keypoints_2d": triplets.ravel().tolist()}]
        text = json.dumps({"version": 1.3, "people": people})
        (tmp_path / f"poses/{i}_keypoints.json").write_text(text if i == 0 else text[:-20])
    return tmp_path


@pytest.fixture
def prepare(call, folder):
    paths = [f"--{name}={folder / name}" for name in ("images", "poses", "masks", "out")]
    return lambda *options: call("prepare", "masks-and-joints", *paths, *options)


def test_from_photos_to_annotations(prepare, folder: Path) -> None:
    options = ("--min-side", 30, "--min-joints", 14, "--shorter-side", 32, "--kind", "HEATMAPS", "--val-share", 0)
    done = prepare(*options)
    assert done.exit_code == 0, done.output
    assert "1 images with all targets" in done.stdout
    assert "sizes 32x48: 1" in done.stdout
    assert "skipped" in done.stdout
    assert "1_keypoints.json" in done.stdout
    assert f'path: "{folder / "out" / "annotations.json"}"' in done.stdout
    assert [p.name for p in (folder / "out/HEATMAPS").iterdir()] == ["0.png"]
    assert "1 there already" in prepare(*options).stdout
    changed = prepare(*options, "--sigma", 2)
    assert changed.exit_code == 1
    assert "sigma 1.0 instead of 2.0" in changed.stderr


def test_when_nothing_is_left(prepare, folder: Path) -> None:
    done = prepare()
    assert done.exit_code == 1
    assert "left out 2, a side not in 572 ... 1199 px" in done.stdout
    assert "no image is left" in done.stderr


def test_misuse(prepare, folder: Path) -> None:
    assert prepare("--val-share", 1).exit_code == 2
    assert CliRunner().invoke(main, ["prepare", "masks-and-joints", "--images", str(folder)]).exit_code == 2
    unknown = prepare("--kind", "HEAT")
    assert unknown.exit_code == 1
    assert "known: JOINTCENTERPIXELS" in unknown.stderr
