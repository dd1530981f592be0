"""Folders: readable as COCO, equal byte by byte however they came about."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import vitruvian
from vitruvian.cli import main
from vitruvian.errors import FormatError, VitruvianError
from vitruvian.formats import rle
from vitruvian.skeletons import SKELETONS
from vitruvian.synth.humans import SceneOptions, SynthOptions, generate, landmarks, load_assets, read_labels
from vitruvian.synth.humans.generate import ARRAYS, Worker, in_split


@pytest.fixture
def options(body_file, rng) -> SynthOptions:
    return SynthOptions(
        seed=int(rng.integers(2**31)), size_wh=(96, 80), body=str(body_file), scene=SceneOptions(max_people=3)
    )


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_reads_as_coco_in_every_skeleton(renderer, options, tmp_path):
    out = generate(tmp_path / "out", 3, options)
    labels = [read_labels(out, i) for i in range(3)]
    for name, skeleton in SKELETONS.items():
        result = vitruvian.read("coco", out / f"person_keypoints_{name}.json", keep_unlabelled=True)
        assert not result.report.skipped
        assert [r.image_path for r in result.records] == [out / "images" / f"{i:06d}.jpg" for i in range(3)]
        for record, truth in zip(result.records, labels, strict=True):
            assert record.skeleton.joints == skeleton.joints
            seen = np.flatnonzero(truth.area_px > 0)
            assert len(record.persons) == len(seen)
            take = landmarks.for_skeleton(skeleton)
            for person, i in zip(record.persons, seen, strict=True):
                np.testing.assert_array_equal(person.visibility, truth.visibility[i, take])
                np.testing.assert_array_equal(rle.decode(person.segmentation), truth.person == i + 1)
                labelled = person.labelled
                np.testing.assert_allclose(person.keypoints_px[labelled], truth.joints_px[i, take][labelled], atol=1e-3)
    assert Image.open(out / "images" / "000000.jpg").size == (96, 80)


def test_the_arrays_of_all_people(renderer, options, tmp_path):
    out = generate(tmp_path / "out", 3, options)
    labels = [read_labels(out, i) for i in range(3)]
    with np.load(out / "labels.npz") as file:
        assert set(file.files) == set(ARRAYS)
        assert tuple(file["landmark"]) == landmarks.NAMES
        for i, truth in enumerate(labels):
            mine = file["image_index"] == i
            np.testing.assert_array_equal(file["joints_camera_mm"][mine], truth.joints_camera_mm)
            np.testing.assert_array_equal(file["visibility"][mine], truth.visibility)
            view = (file["joints_world_mm"][mine] - file["position_mm"][i]) @ file["rotation"][i].T
            np.testing.assert_allclose(view, file["joints_camera_mm"][mine], atol=1e-6)
            pixels = view[..., :2] / view[..., 2:] * file["focal_px"][i] + file["centre_px"][i]
            front = view[..., 2] > 0
            np.testing.assert_allclose(pixels[front], file["joints_px"][mine][front], atol=1e-6)


def test_stopped_and_resumed_is_as_if_never_stopped(renderer, options, tmp_path):
    whole = content(generate(tmp_path / "whole", 3, options))
    generate(tmp_path / "parts", 1, options)
    halfway = tmp_path / "parts"
    (halfway / "images" / "000001.jpg").write_bytes(b"half a pict")  # killed while it drew the second one
    times = (halfway / "labels" / "000000.npz").stat().st_mtime_ns
    generate(halfway, 3, options)
    assert content(halfway) == whole
    assert (halfway / "labels" / "000000.npz").stat().st_mtime_ns == times, "what was finished is not drawn again"


def test_two_processes_make_the_same_folder(renderer, options, tmp_path):
    one, two = (content(generate(tmp_path / str(n), 2, options, processes=n)) for n in (1, 2))
    assert one == two


def test_drawing_keeps_linear_algebra_to_one_thread_and_gives_the_others_back(renderer, options, tmp_path):
    """Threads that wait at full load for small matrices halved the pictures a second."""
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        with closing(Worker(tmp_path, options)):
            assert set(threads()) <= {1}
        assert threads() == before


def test_a_smaller_count_is_refused_rather_than_labels_lost(renderer, options, tmp_path):
    out = generate(tmp_path / "out", 3, options)
    with pytest.raises(VitruvianError, match="holds 1 finished pictures beyond 2"):
        generate(out, 2, options)
    assert len(read_labels(out, 2).joints_px)


def test_what_cannot_be_read_begins_no_folder(options, tmp_path):
    (tmp_path / "clothes.tar").write_text("no tar")
    with pytest.raises(FormatError, match="no wardrobe"):
        generate(tmp_path / "out", 2, replace(options, wardrobe=str(tmp_path / "clothes.tar")))
    assert not (tmp_path / "out" / "synth.json").exists()


def test_other_options_need_another_folder(renderer, options, tmp_path):
    generate(tmp_path, 1, options)
    with pytest.raises(VitruvianError, match="seed"):
        generate(tmp_path, 1, replace(options, seed=options.seed + 1))
    (tmp_path / "synth.json").write_text("[]")
    with pytest.raises(FormatError):
        generate(tmp_path, 1, options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "test"}, "split"),
        ({"size_wh": (8, 256)}, "sides"),
        ({"quality": (0, 50)}, "quality"),
        ({"scene": SceneOptions(max_people=9)}, "people"),
        ({"scene": SceneOptions(occluders=1.0)}, "occluders"),
    ],
)
def test_impossible_options_are_refused(change, words):
    with pytest.raises(VitruvianError, match=words):
        SynthOptions(**change)


def test_train_and_val_share_no_body_and_no_take(body, body_file, write_bank, tmp_path):
    quaternions = np.tile([0.0, 0, 0, 1], (40, 36, 1))
    bank = write_bank(tmp_path / "bank.npz", quaternions, np.arange(40), np.ones((40, 8, 3)))
    halves = [
        load_assets(SynthOptions(body=str(body_file), poses=(str(bank),), split=split)) for split in ("train", "val")
    ]
    shapes = [set(a.shapes) for a in halves]
    takes = [set(a.poses.poses.take.tolist()) for a in halves]
    for first, second, everything in ((*shapes, len(body)), (*takes, 40)):
        assert first
        assert second
        assert not first & second
        assert len(first | second) == everything
    assert all(in_split("all", i) for i in range(9))


def test_the_verb_makes_a_folder(renderer, body_file, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRUVIAN_CACHE", str(body_file.parent))
    arguments = ["synth", str(tmp_path / "out"), "--count", "2", "--size", "64", "64", "--people", "1"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "2 of them new" in done.output
    assert len(json.loads((tmp_path / "out" / "person_keypoints_coco17.json").read_text())["images"]) == 2
    assert "new" not in CliRunner().invoke(main, arguments).output
    other = CliRunner().invoke(main, [*arguments, "--seed", "3"])
    assert other.exit_code == 1
    assert "other options (seed)" in other.output


def test_an_empty_folder_of_backgrounds_is_named(body_file, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(FormatError, match="no pictures"):
        load_assets(SynthOptions(body=str(body_file), backgrounds=str(tmp_path / "none")))
