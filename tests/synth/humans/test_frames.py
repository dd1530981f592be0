"""Folders of synthetic people as frames in 3D: the numbers of their labels, one person a frame, and a whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.data.poses3d import read_poses3d, write_poses3d
from vitruvian.errors import FormatError
from vitruvian.skeletons import H36M17
from vitruvian.synth.humans import SceneOptions, SynthOptions, generate, landmarks, read_labels
from vitruvian.synth.humans.frames import read_synth_people


@pytest.fixture
def folder(renderer, body_file, rng, tmp_path: Path) -> Path:
    """Four pictures of up to three tube people."""
    seed = int(rng.integers(2**31))
    options = SynthOptions(seed=seed, size_wh=(96, 80), body=str(body_file), scene=SceneOptions(max_people=3))
    return generate(tmp_path / "people", 4, options)


def test_each_person_is_a_frame(folder: Path) -> None:
    frames = read_synth_people(folder)
    take = landmarks.for_skeleton(H36M17)
    assert (frames.skeleton, frames.axes) == (H36M17, "camera")
    expected = []
    for i in range(4):
        truth = read_labels(folder, i)
        expected += [(i, k, truth) for k in range(len(truth.joints_px)) if truth.area_px[k]]
    assert len(frames) == len(expected)
    for row, (i, k, truth) in enumerate(expected):
        np.testing.assert_array_equal(frames.joints_mm[row], truth.joints_camera_mm[k, take])
        np.testing.assert_array_equal(frames.mask(row), truth.person == k + 1)
        np.testing.assert_array_equal(frames.boxes_xyxy[row], truth.boxes_xyxy[k])
        seen = frames.cameras[frames.camera[row]].camera_to_image(frames.joints_mm[row])
        front = frames.joints_mm[row, :, 2] > 0
        np.testing.assert_allclose(seen[front], frames.keypoints_px[row, front], atol=1e-6)
        assert frames.picture(row).shape == (80, 96, 3)
        assert frames.pictures[row] == folder / "images" / f"{i:06d}.jpg"
        assert frames.action[row] == truth.about[k]["pose"]
        assert frames.subject[row] in truth.about[k]["shapes"]
    assert len(set(frames.sequence)) == len(frames), "no frame follows another in time"


def test_a_range_of_pictures_and_people_that_show(folder: Path) -> None:
    everyone = read_synth_people(folder)
    parts = [read_synth_people(folder, pictures=(a, b)) for a, b in ((0, 1), (1, 4))]
    np.testing.assert_array_equal(np.concatenate([p.joints_mm for p in parts]), everyone.joints_mm)
    assert set(parts[0].frame) == {0}
    take = landmarks.for_skeleton(H36M17)
    shares = np.array([
        (read_labels(folder, i).visibility[int(name.split("/")[2]) - 1, take] == 2).mean()
        for i, name in zip(everyone.frame, everyone.sequence, strict=True)
    ])  # fmt: skip
    least = float(np.median(shares))
    chosen = read_synth_people(folder, min_visible=least)
    np.testing.assert_array_equal(chosen.joints_mm, everyone.joints_mm[shares >= least])
    with pytest.raises(FormatError, match="nobody in pictures 0 to 4"):
        read_synth_people(folder, min_visible=1.1)


@pytest.mark.parametrize("wrong", [(0, 5), (7, 9), (-1, 2), (2, 2), (3, 1)])
def test_pictures_that_are_not_there_are_refused(folder: Path, wrong: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="0 to 4"):
        read_synth_people(folder, pictures=wrong)


def test_a_folder_becomes_one_file(folder: Path, tmp_path: Path) -> None:
    frames = read_synth_people(folder, pictures=(0, 1))
    masks = tuple(np.uint8(255) * frames.mask(i) for i in range(len(frames)))
    back = read_poses3d(write_poses3d(tmp_path / "people.npz", replace(frames, masks=masks)))
    np.testing.assert_allclose(back.joints_mm, frames.joints_mm, rtol=1e-6)
    np.testing.assert_array_equal(back.mask(0), frames.mask(0))
    np.testing.assert_array_equal(back.picture(0), frames.picture(0))


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="vitruvian synth"):
        read_synth_people(tmp_path)
    (folder / "labels.npz").unlink()
    with pytest.raises(FormatError, match="labels.npz"):
        read_synth_people(folder)


def test_from_pictures_to_3d(folder: Path, tmp_path: Path) -> None:
    """Recipe `grid-synth` on tiny pictures: the command's whole way, with what is behind people blackened."""
    pytest.importorskip("torch")
    from vitruvian.training import Recipe, train

    recipes = Path(__file__).resolve().parents[3] / "recipes"
    data = Recipe.load(recipes / "grid-synth.yaml").model_dump()
    source = {"format": "synth_people", "path": str(folder)}
    data["grid"] |= {"epochs": 1, "test": [{**source, "options": {"pictures": [2, 4]}}]}
    data["model"]["options"] |= {"kernels": [2, 2, 2], "hidden": [8, 8]}
    data |= {part: [{**source, "options": {"pictures": [0, 2]}}] for part in ("train", "val")}
    run = train(Recipe.check({**data, "epochs": 1, "val_every": 1, "out": str(tmp_path / "runs")}))
    report = json.loads((run / "pose3d.json").read_text(encoding="utf-8"))
    held_out = read_synth_people(folder, pictures=(2, 4))
    assert (report["frames"], set(report["result"]["per_action"])) == (len(held_out), set(held_out.action))
    assert report["source"].startswith("synthetic people")
    assert "mpjve_mm_per_frame" not in report["result"], "single pictures have no velocity"
