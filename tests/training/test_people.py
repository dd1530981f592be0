"""Training a person detector: it learns a few pictures by heart, and a recipe goes from photos to boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("faster_coco_eval")

from vitruvian.codecs import BoxesCodec
from vitruvian.data import write_image
from vitruvian.data.people_scenes import collate
from vitruvian.detection import PeopleTargets, boxes_aligned
from vitruvian.geometry import boxes as box_tools
from vitruvian.metrics.boxes import box_stats
from vitruvian.models import build_model
from vitruvian.predict import load_detector
from vitruvian.predict.select import box_nms
from vitruvian.preprocess import Preprocess
from vitruvian.training import Recipe, train
from vitruvian.types import Outputs

_TINY = {"widths": (8, 12, 16, 24, 24), "depths": (1, 1, 1), "neck": 16}


def _pictures(rng: np.random.Generator, count: int, side: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dark noise with none to three bright rectangles that keep apart: images (N, side, side, 3), boxes (n, 4) each."""
    images = rng.integers(0, 60, (count, side, side, 3), dtype=np.uint8)
    boxes: list[np.ndarray] = []
    for image in images:
        own: list[np.ndarray] = []
        for _ in range(int(rng.integers(0, 4))):
            low = rng.integers(0, side - 20, 2)
            high = np.minimum(low + rng.integers(14, 45, 2), side)
            box = np.array([*low, *high]) - 0.5
            if not own or box_tools.iou(box[None], np.stack(own)).max() == 0:
                own.append(box)
                image[low[1] : high[1], low[0] : high[0]] = rng.integers(150, 256, 3)
        boxes.append(np.reshape(own, (-1, 4)))
    return images, boxes


def test_a_detector_learns_32_pictures(rng: np.random.Generator) -> None:
    side, codec = 96, BoxesCodec(size_wh=(96, 96))
    images, boxes = _pictures(rng, 32, side)
    torch.manual_seed(int(rng.integers(1 << 30)))
    network = build_model("detector", 1, codec, **_TINY)
    inputs = torch.from_numpy(Preprocess((side, side)).normalise(images))
    nowhere = np.zeros((0, 4), np.float32)
    batch = collate([{"boxes_xyxy": b.astype(np.float32), "unknown_xyxy": nowhere} for b in boxes])
    points, strides = (torch.tensor(array) for array in codec.points_px())
    targets = PeopleTargets(batch["boxes_xyxy"], batch["unknown_xyxy"], points, strides)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=150)
    for _ in range(150):
        optimizer.zero_grad()
        boxes_aligned(network(inputs), targets).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = codec.decode_boxes(Outputs(network.eval()(inputs)), 0.05)
    kept = [(b[keep], s[keep]) for b, s in found for keep in (box_nms(b, s, 0.6),)]
    stats = box_stats([(b, nowhere) for b in boxes], kept)
    assert stats["AP50"] is not None
    assert stats["AP50"] >= 0.95, stats


def _folder(rng: np.random.Generator, path: Path) -> Path:
    """Photos of bright people on dark ground, with masks."""
    (path / "images").mkdir(parents=True)
    (path / "masks").mkdir()
    images, boxes = _pictures(rng, 40, 96)
    for i, (image, own) in enumerate(zip(images, boxes, strict=True)):
        if len(own):
            mask = np.zeros((96, 96, 3), np.uint8)
            for x0, y0, x1, y1 in (own + 0.5).astype(int):
                mask[y0:y1, x0:x1] = 255
            write_image(path / "images" / f"{i}.png", image)
            write_image(path / "masks" / f"{i}.png", mask)
    return path


def test_a_recipe_trains_a_detector_that_predict_can_use(rng: np.random.Generator, tmp_path: Path) -> None:
    masks = _folder(rng, tmp_path / "masks")
    (tmp_path / "empty").mkdir()
    for i in range(3):
        write_image(tmp_path / "empty" / f"{i}.png", rng.integers(0, 60, (80, 100, 3), dtype=np.uint8))
    people = {"format": "masks", "path": str(masks), "holds": "everybody"}
    recipe = {
        "name": "boxes",
        "model": {"name": "detector", "options": _TINY},
        "input": {"size_wh": [96, 96], "padding": 1.0},
        "codec": {"kind": "boxes", "min_score": 0.05},
        "loss": {"name": "boxes_aligned"},
        "train": [{**people, "repeat": 2}, {"format": "photos", "path": str(tmp_path / "empty"), "holds": "nobody"}],
        "val": [people],
        "scenes": {"mosaic_most": 2},
        "epochs": 2,
        "batch_size": 8,
        "workers": 0,
        "precision": "32",
        "out": str(tmp_path / "runs"),
    }
    folder = train(Recipe.check(recipe))
    assert {"best.safetensors", "last.safetensors", "last.ckpt", "metrics.csv"} <= {p.name for p in folder.iterdir()}
    detector = load_detector(folder, threads=1)
    assert detector.card.skeleton.joints == ("centre",)
    assert detector.card.metrics[0]["metric"] == "AP50 of the boxes"
    boxes, scores = detector(rng.integers(0, 255, (70, 90, 3), dtype=np.uint8))
    assert boxes.shape == (len(scores), 4)
    more = train(Recipe.check({**recipe, "epochs": 3}), resume=True)
    assert more == folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"geometry": {"scale": 0.2}}, "geometry: would change nothing"),
        ({"pictures": 3}, "pictures"),
        ({"train": [{"path": "a.json", "min_joints": 2}]}, "min_joints, min_area_px: would make background of people"),
        ({"scenes": {"mosaics": 1}}, "scenes: .*mosaics"),
        ({"scenes": {"zoom": -1}}, "zoom"),
        (
            {"codec": {"kind": "heatmap"}, "loss": {"name": "heatmap_mse"}, "scenes": {"zoom": 1}},
            "only person detectors",
        ),
        ({"model": {"name": "compact"}}, "model"),
    ],
)
def test_recipes_that_cannot_work(changes: dict, message: str) -> None:
    from vitruvian.errors import RecipeError
    from vitruvian.training.checks import check

    recipe = {
        "name": "boxes", "model": {"name": "detector"}, "input": {"size_wh": [96, 96]}, "codec": {"kind": "boxes"},
        "loss": {"name": "boxes_aligned"}, "train": [{"format": "photos", "path": "."}], "epochs": 1,
    }  # fmt: skip
    with pytest.raises(RecipeError, match=message):
        check(Recipe.check({**recipe, **changes}))
