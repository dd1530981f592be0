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
from vitruvian.training.build import build_dataset, codec_of


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
