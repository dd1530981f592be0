"""Training on masks: crops with and without one, whole pictures in their own sizes, and system 0's recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import PixelsCodec
from vitruvian.errors import RecipeError
from vitruvian.evaluate import evaluate
from vitruvian.predict import load
from vitruvian.predict.maps import HARD, HEAT, SOFT, map_figures
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.synth import synthetic_records
from vitruvian.training import Recipe, train
from vitruvian.training.sampling import SameSizeBatches
from vitruvian.training.validation import DICE, PCK, Measured, figures_of
from vitruvian.training.validation import HEAT as HEAT_FIGURE
from vitruvian.types import Targets
from vitruvian.weights.checkpoint import read_card, read_state

_RECIPES = Path(__file__).resolve().parents[2] / "recipes"
_SYSTEM_0 = [
    "unet-exp1", "unet-exp2", "unet-exp3", "unet-exp4", "unet-mask", "unet-heat", "unet-points", "harmonic-mask",
    "harmonic-heat", "masks-joints-ccp",
]  # fmt: skip


def _drawn(count: int, seed: int, size_wh: tuple[int, int] = (48, 64)) -> dict[str, Any]:
    return {"format": "synthetic", "options": {"count": count, "seed": seed, "size_wh": list(size_wh)}}


def _tiny(tmp_path: Path, **changes: Any) -> Recipe:
    data = {
        "name": "tiny",
        "model": {"name": "unet", "options": {"width": 4, "levels": 3}},
        "input": {"size_wh": [32, 48]},
        "codec": {"kind": "pixels", "heads": ["mask", "heat", "classes"]},
        "loss": {"name": "pixels"},
        "train": [_drawn(6, 1), _drawn(3, 2, (64, 48))],
        "val": [_drawn(3, 3)],
        "optim": {"warmup_steps": 2, "ema": 0.9},
        "geometry": {"rotation_deg": 20},
        "epochs": 2,
        "batch_size": 4,
        "workers": 0,
        "precision": "32",
        "out": str(tmp_path),
    }
    return Recipe.check({**data, **changes})


@pytest.mark.parametrize("augment_on", ["cpu", "device"])
def test_crops_with_masks_train_and_are_measured(augment_on: str, tmp_path: Path) -> None:
    folder = train(_tiny(tmp_path, epochs=1, augment_on=augment_on))
    header = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert {"val_pck", "val_dice", "val_heat_mse", "loss"} <= set(header)
    measured = read_card(folder / "best.safetensors").metrics
    assert [m["metric"] for m in measured] == [PCK.metric, DICE.metric, HEAT_FIGURE.metric]
    records = synthetic_records(count=2, seed=9, size_wh=(48, 64))
    with load(folder) as model:
        found = evaluate(model, records, ("pck", "mask_dice", "mask_iou", "mask_boundary_f"))
        maps = map_figures(model, records)
    assert set(maps) == {SOFT, HARD, HEAT}
    assert 0 <= maps[SOFT] <= 1
    dice, iou = (found[name].table for name in ("mask_dice", "mask_iou"))
    assert [row["count"] for row in dice] == [row["count"] for row in iou]
    assert sum(row["count"] for row in dice) == 2
    assert found["mask_iou"].value <= found["mask_dice"].value


def test_whole_pictures_resume_as_if_never_stopped(tmp_path: Path) -> None:
    """Pictures of two sizes, in batches of one size, and dropout; bit for bit."""
    changes = {"whole_pictures": True, "epochs": 2}
    whole = train(_tiny(tmp_path / "whole", **changes))
    train(_tiny(tmp_path / "parts", **changes, stop_after=1))
    parts = train(_tiny(tmp_path / "parts", **changes), resume=True)
    expected, got = read_state(whole / "last.safetensors"), read_state(parts / "last.safetensors")
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
    assert read_card(whole / "best.safetensors").preprocess.size_wh == (32, 48)


@pytest.mark.parametrize("name", _SYSTEM_0)
def test_recipes_run_end_to_end(name: str, tmp_path: Path) -> None:
    """Everything as it stands there, but a narrow network and a few drawn people."""
    data = Recipe.load(_RECIPES / f"{name}.yaml").model_dump()
    options = data["model"]["options"]
    options |= {"streams": [[2, 2], [2, 2], [2, 2]]} if data["model"]["name"] == "harmonic" else {"width": 2}
    data |= {"train": [_drawn(3, 1)], "val": [_drawn(2, 2)], "out": str(tmp_path), "epochs": 1, "val_every": 1}
    folder = train(Recipe.check(data | {"workers": 0, "precision": "32"}))
    card = read_card(folder / "best.safetensors")
    assert [m["metric"] for m in card.metrics] == [figure.metric for figure in figures_of(card.codec)]
    with load(folder) as model:
        maps = map_figures(model, synthetic_records(count=1, seed=5, size_wh=(48, 64)))
    heads = card.codec.heads
    assert set(maps) == ({SOFT, HARD} if "mask" in heads else set()) | ({HEAT} if "heat" in heads else set())


def test_the_figure_that_chooses() -> None:
    keys = lambda *heads, **options: [f.key for f in figures_of(PixelsCodec((32, 32), heads=heads, **options))]  # noqa: E731
    assert keys("mask", "classes") == ["val_pck", "val_dice"]
    assert keys("mask", "heat") == ["val_dice", "val_heat_mse"]
    assert keys("mask", "heat", heat="each") == ["val_pck", "val_dice", "val_heat_mse"]
    assert keys("heat") == ["val_heat_mse"]
    assert not HEAT_FIGURE.more_is_better


def test_validation_counts_people_with_a_mask_alone() -> None:
    """Two of three have one: found to the pixel, and not at all."""
    codec = PixelsCodec((8, 8), heads=("mask",))
    masks = torch.zeros(3, 8, 8, dtype=torch.uint8)
    masks[:, 2:5, 2:5] = 1
    targets = codec.add_mask(Targets({}, torch.zeros(3, 1)), masks, torch.tensor([True, True, False]))
    sure = 20.0 * (masks.float() - 0.5)
    sure[1] = -10.0
    measured = Measured()
    measured.add(codec, {"mask": torch.stack([-sure, sure], dim=1)}, targets, {})
    assert measured.figures(None) == {"val_dice": pytest.approx(0.5)}
    nobody = Measured()
    nobody.add(
        codec, {"mask": torch.stack([-sure, sure], dim=1)}, Targets({"mask": targets.arrays["mask"] * 0}, None), {}
    )
    assert np.isnan(nobody.figures(None)["val_dice"])


def test_same_size_batches_share_an_epoch(rng: np.random.Generator) -> None:
    sizes = [[(32, 48), (48, 32), (32, 32)][i] for i in rng.integers(0, 3, 40)]
    repeats = rng.integers(1, 3, 40)
    sampler = SameSizeBatches(sizes, repeats, 4, seed=3)
    first, again = list(sampler), list(sampler)
    assert first == again
    assert len(first) == len(sampler)
    counts = np.bincount([i for batch in first for i, *_ in batch], minlength=40)
    np.testing.assert_array_equal(counts, repeats)
    assert len({key for batch in first for key in batch}) == repeats.sum()
    assert all(len({sizes[i] for i, *_ in batch}) == 1 for batch in first)
    sampler.set_epoch(1)
    assert {epoch for batch in sampler for _, epoch, _ in batch} == {1}
    parts = [list(SameSizeBatches(sizes, repeats, 4, 3, rank, 2)) for rank in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == len(first) // 2
    assert [batch for pair in zip(*parts, strict=True) for batch in pair] == first[: 2 * (len(first) // 2)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"whole_pictures": True, "input": {"size_wh": [32, 48], "progressive": [[1, 16, 16]]}}, "own sizes"),
        ({"whole_pictures": True, "pictures": 3}, "draws the joints"),
        ({"codec": {"kind": "pixels", "heads": ["mask"]}, "pictures": 3}, "draws the joints"),
        ({"input": {"size_wh": [32, 50]}}, "multiples of 4"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        train(_tiny(tmp_path, **changes))


def test_drawn_people_bring_their_masks() -> None:
    """What these tests rest on."""
    (record,) = synthetic_records(count=1, seed=1, size_wh=(48, 64))
    assert record.skeleton == VITRUVIAN19
    assert record.persons[0].segmentation is not None
