"""`recipes/quick.yaml`: complete, short, and each part fits the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from vitruvian.codecs import codec_from_dict
from vitruvian.losses import LOSSES
from vitruvian.models import build_model
from vitruvian.synth import synthetic_records
from vitruvian.training.build import build_dataset
from vitruvian.training.recipe import Recipe

PATH = Path(__file__).resolve().parents[2] / "recipes" / "quick.yaml"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load(PATH)


def test_it_is_short_and_says_what_to_expect(recipe: Recipe) -> None:
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 60
    assert recipe.expect.keys() == {"metric", "value", "tolerance", "minutes"}
    assert recipe.expect["minutes"] <= 5


def test_it_needs_no_files_and_measures_on_other_people(recipe: Recipe) -> None:
    sources = [*recipe.train, *recipe.val]
    assert all(source.format == "synthetic" and not source.path for source in sources)
    seeds = [source.options["seed"] for source in sources]
    assert len(set(seeds)) == len(seeds)
    one, other = (synthetic_records(1, seed)[0].persons[0] for seed in seeds)
    assert not np.array_equal(one.keypoints_px, other.keypoints_px, equal_nan=True)


def test_one_step_of_its_model_lowers_its_loss(recipe: Recipe) -> None:
    few = recipe.model_copy(
        update={"train": tuple(s.model_copy(update={"options": {**s.options, "count": 4}}) for s in recipe.train)}
    )
    dataset, repeats = build_dataset(few, few.train, training=True)
    assert repeats.tolist() == [1, 1, 1, 1]
    items = [dataset[i, 0] for i in range(4)]
    codec = codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)})
    torch.manual_seed(0)
    network = build_model(recipe.model.name, len(dataset.skeleton), codec, **recipe.model.options)
    images = torch.from_numpy(np.stack([dataset.preprocess.normalise(item["image"][None])[0] for item in items]))
    targets = codec.encode_torch(
        *(torch.from_numpy(np.stack([i[k] for i in items])) for k in ("keypoints_px", "visibility"))
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.optim.lr)
    losses = []
    for _ in range(4):
        loss = LOSSES[recipe.loss.name](network(images), targets, **recipe.loss.options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
