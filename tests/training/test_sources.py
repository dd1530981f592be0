"""What a recipe's sources become: which joints of a file are known to be elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from vitruvian.skeletons import LSP14
from vitruvian.training import Recipe
from vitruvian.training.build import build_dataset, build_scenes, codec_of
from vitruvian.training.recipe import DataSource
from vitruvian.training.sources import load_records


def _file(folder: Path, *people: dict) -> Path:
    Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(folder / "1.png")
    common = {"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 40, 55], "area": 900}
    rows = [{"id": i, **common, **person} for i, person in enumerate(people)]
    names = {"id": 1, "name": "person", "keypoints": list(LSP14.names), "skeleton": []}
    images = [{"id": 1, "file_name": "1.png", "width": 60, "height": 80}]
    file = folder / "people.json"
    file.write_text(json.dumps({"images": images, "annotations": list(rows), "categories": [names]}), encoding="utf-8")
    return file


def test_nobody_is_background_for_a_detector(tmp_path: Path) -> None:
    """People without joints are people, and crowds unknown, unasked."""
    jointed = {"num_keypoints": 14, "keypoints": sum([[20 + k, 30 + 2 * k, 2] for k in range(14)], [])}
    bare = {"num_keypoints": 0, "keypoints": [0] * 42, "bbox": [2, 2, 6, 20]}
    crowd = {**bare, "iscrowd": 1, "bbox": [40, 2, 18, 30], "segmentation": {"size": [80, 60], "counts": [0, 4800]}}
    source = {"path": str(_file(tmp_path, jointed, bare, crowd)), "images": str(tmp_path)}
    recipe = Recipe.check(
        {
            "name": "tiny", "epochs": 1, "model": {"name": "detector"}, "input": {"size_wh": [64, 64]},
            "codec": {"kind": "boxes"}, "loss": {"name": "boxes_aligned"}, "train": [source],
        }
    )  # fmt: skip
    scenes, _ = build_scenes(recipe, recipe.train, training=False)
    scene = scenes.scene(0)
    assert (len(scene.boxes_xyxy), len(scene.unknown_xyxy)) == (2, 1)


@pytest.mark.parametrize(("least", "kept"), [(0, 2), (1, 1)])
def test_a_least_number_of_joints_is_one_where_it_says_one(tmp_path: Path, least: int, kept: int) -> None:
    jointed = {"num_keypoints": 14, "keypoints": sum([[20 + k, 30 + 2 * k, 2] for k in range(14)], [])}
    masked = {"num_keypoints": 0, "keypoints": [0] * 42, "segmentation": [[10, 20, 50, 20, 50, 70]]}
    options = {"keep_unlabelled": True}
    source = DataSource(
        path=str(_file(tmp_path, jointed, masked)), images=str(tmp_path), options=options, min_joints=least
    )
    assert sum(len(record.persons) for record in load_records(source)) == kept


@pytest.mark.parametrize("complete", [False, True])
def test_joints_without_a_label_are_outside_where_the_source_is_complete(tmp_path: Path, complete: bool) -> None:
    Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(tmp_path / "1.png")
    triplets = [[20 + k, 30 + 2 * k, 2] if k not in (0, 5) else [0, 0, 0] for k in range(14)]
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 20, 40, 55], "area": 900,
        "num_keypoints": 12, "keypoints": sum(triplets, []),
    }  # fmt: skip
    names = {"id": 1, "name": "person", "keypoints": list(LSP14.names), "skeleton": []}
    images = [{"id": 1, "file_name": "1.png", "width": 60, "height": 80}]
    file = tmp_path / "people.json"
    file.write_text(json.dumps({"images": images, "annotations": [person], "categories": [names]}), encoding="utf-8")
    recipe = Recipe.check(
        {
            "name": "tiny",
            "epochs": 1,
            "model": {"name": "compact"},
            "codec": {"kind": "heatmap", "outside": "empty", "presence": True},
            "loss": {"name": "heatmap_mse", "options": {"presence": 1.0}},
            "train": [{"path": str(file), "images": str(tmp_path), "complete": complete}],
        }
    )
    dataset, _ = build_dataset(recipe, recipe.train, training=False)
    item = dataset[0]
    here = [dataset.skeleton.index(name) for name in LSP14.names]
    assert item["visibility"][here].tolist() == [(1 if complete else 0) if k in (0, 5) else 2 for k in range(14)]
    assert (np.delete(item["visibility"], here) == 0).all()  # joints that the file's skeleton lacks stay unknown
    targets = codec_of(recipe).encode(item["keypoints_px"][None], item["visibility"][None])
    said = [float(targets.arrays["presence"][0, here[k]]) for k in (0, 5)]
    assert said == [0.0 if complete else -1.0] * 2
    assert not targets.arrays["heatmaps"][0, [here[0], here[5]]].any()
