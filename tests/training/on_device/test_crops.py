"""Crops made on the device are those of `PoseDataset`, and training with them is training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from tests.data.test_dataset import dataset, record
from tests.training.test_run import tiny
from torch.utils.data import default_collate

import vitruvian
from vitruvian.data import SizeSchedule
from vitruvian.data.dataset import photo
from vitruvian.data.mixing import Mixing
from vitruvian.errors import RecipeError
from vitruvian.formats import rle
from vitruvian.training import Recipe, train
from vitruvian.training.checks import check
from vitruvian.training.on_device import CropMaker, Views
from vitruvian.training.on_device.crops import SEED, SIZE
from vitruvian.transforms import PRESETS, RandomGeometry, RandomPhotometry
from vitruvian.types import Record
from vitruvian.weights.checkpoint import read_state

RECIPES = Path(vitruvian.__file__).parent / "recipes"


def people(rng: np.random.Generator) -> list[Record]:
    """Three photos of a person each, the second without a mask."""
    records = []
    for i in range(3):
        mask = np.zeros((220, 180), np.uint8)
        mask[10 + i : 190, 20:150] = 1
        records.append(record(seed=i, **({} if i == 1 else {"segmentation": rle.encode(mask)})))
    return records


def made(data, keys):
    """The batch of those keys, made on the device."""
    views = Views(data)
    batch = default_collate([views[key] for key in keys])
    size, seed = batch.pop(SIZE)[0].tolist(), int(batch.pop(SEED)[0])
    return CropMaker(views)(batch, size, seed)


def test_crops_are_those_of_the_data_set(rng: np.random.Generator) -> None:
    """With cuts, turns and mirrors: numbers to the last bit, pixels within a grey level on average, masks too."""
    geometry = RandomGeometry(60, 0.7, 0.3, 0.1, 0.5, half_body_prob=0.3, cut_prob=0.4)
    seed = int(rng.integers(1 << 30))
    data = dataset(people(rng), geometry=geometry, seed=seed, teaches="either", sizes=SizeSchedule((96, 128)))
    keys = [(i, epoch, repeat) for i in range(3) for epoch in range(4) for repeat in range(2)]
    got, wanted = made(data, keys), default_collate([data[key] for key in keys])
    assert got.keys() == wanted.keys()
    for name in ("keypoints_px", "visibility", "frame_to_input", "index", "has_mask"):
        torch.testing.assert_close(got[name], wanted[name], rtol=0, atol=0, equal_nan=True)
    assert got["image"].dtype == torch.uint8
    assert got["image"].shape == wanted["image"].shape
    off = (got["image"].float() - wanted["image"].float()).abs().flatten(1).mean(1)
    assert off.max() < 0.8, off
    assert off.mean() < 0.42  # 0.33 at most in a dozen runs; half a photo's pixel aside it is 0.48 or more
    assert (got["mask"] != wanted["mask"]).float().mean() < 0.002  # and this 0.003


def test_the_size_is_the_epochs(rng: np.random.Generator) -> None:
    data = dataset(sizes=SizeSchedule((96, 128), ((2, (48, 64)),)))
    assert made(data, [(0, 1, 0)])["image"].shape == (1, 64, 48, 3)
    assert made(data, [(0, 2, 0)])["image"].shape == (1, 128, 96, 3)


def test_all_changes_together_repeat_with_their_seed(rng: np.random.Generator) -> None:
    seed = int(rng.integers(1 << 30))
    empty = [Record(None, "empty", (60, 50), people(rng)[0].skeleton, (), extra={"pixels": lambda: _green()})]
    options = {"geometry": RandomGeometry(), "photometry": RandomPhotometry(), "photos": empty, "seed": seed}
    data = dataset(people(rng), mixing=Mixing(0.7, 0.7, 0.7), **options)
    keys = [(i, epoch, 0) for i in range(3) for epoch in range(12)]
    first, again = made(data, keys), made(data, keys)
    assert torch.equal(first["image"], again["image"])
    assert "mask" not in first  # joints alone are taught
    other = made(dataset(people(rng), mixing=Mixing(0.7, 0.7, 0.7), **{**options, "seed": seed + 1}), keys)
    assert not torch.equal(first["image"], other["image"])
    green = (first["image"].float() - torch.tensor([0.0, 255.0, 0.0])).abs().sum(3) < 150
    assert green.flatten(1).any(1).sum() >= 10  # surroundings came


def _green() -> np.ndarray:
    return np.broadcast_to(np.array([0, 255, 0], np.uint8), (50, 60, 3)).copy()


def test_photos_without_people_to_learn_from_are_not_packed() -> None:
    blind = replace(record(seed=5), persons=())
    views = Views(dataset([blind, record(seed=1)]))
    assert views.photos == [1]
    assert len(CropMaker(views).photos) == 1


def test_views_need_no_pixels_but_once(rng: np.random.Generator) -> None:
    """Photos that find no room in memory are decoded for their size alone, the first time."""
    decoded = []

    def decode(one: Record) -> np.ndarray:
        decoded.append(one.image_id)
        return photo(one)

    views = Views(dataset([record(seed=0), record(seed=1)], geometry=RandomGeometry(), decode=decode, cache_bytes=0))
    for epoch in range(5):
        for index in (0, 1):
            views[index, epoch]
    assert sorted(decoded) == ["image0", "image1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recipe_trains_and_goes_on_as_if_it_had_not_stopped(workers: int, tmp_path) -> None:
    """With second people and progressive sizes."""
    changes = {
        "augment_on": "device",
        "workers": workers,
        "epochs": 3,
        "input": {"size_wh": [64, 64], "progressive": [[1, 32, 32]]},
        "mixing": {"person_prob": 0.5},
    }
    whole = train(tiny(tmp_path / "whole", **changes))
    train(tiny(tmp_path / "parts", **changes, stop_after=1))
    parts = train(tiny(tmp_path / "parts", **changes), resume=True)
    a, b = (read_state(folder / "last.safetensors") for folder in (whole, parts))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": next(n for n, (_, p) in PRESETS.items() if not isinstance(p, RandomPhotometry | None))}, "preset"),
        ({"whole_pictures": True}, "crops of people"),
    ],
)
def test_what_the_device_cannot_do_is_refused(changes, message, tmp_path) -> None:
    with pytest.raises(RecipeError, match=rf"augment_on: device.*{message}"):
        train(tiny(tmp_path, augment_on="device", **changes))


@pytest.mark.parametrize("name", ["lifter-s", "grid-synth", "person-detector"])
def test_recipes_of_other_things_than_crops_are_refused(name) -> None:
    with pytest.raises(RecipeError, match=r"augment_on: device makes crops of people"):
        check(Recipe.load(RECIPES / f"{name}.yaml", ["augment_on=device"]))
