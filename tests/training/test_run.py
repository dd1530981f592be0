"""Training end to end on a few drawn figures: files, resume, averaging, schedule, failure."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import vitruvian
from vitruvian.errors import RecipeError
from vitruvian.training import Recipe, train
from vitruvian.training.callbacks import Ema, SetEpoch
from vitruvian.training.module import LitPose
from vitruvian.training.recipe import OptimPart
from vitruvian.training.sources import in_fraction
from vitruvian.weights.checkpoint import read_card, read_state


def tiny(tmp_path, **changes) -> Recipe:
    data = {
        "name": "tiny",
        "model": {"name": "compact", "options": {"widths": [8, 8, 16, 16], "depths": [1, 1, 1], "neck": [16, 8]}},
        "input": {"size_wh": [64, 64]},
        "codec": {"kind": "heatmap", "sigma": 1.0},
        "loss": {"name": "heatmap_mse", "options": {"peak_weight": 10}},
        "train": [{"format": "synthetic", "options": {"count": 12, "seed": 1}}],
        "val": [{"format": "synthetic", "options": {"count": 4, "seed": 2}}],
        "optim": {"warmup_steps": 2},
        "epochs": 2,
        "batch_size": 4,
        "workers": 0,
        "precision": "32",
        "out": str(tmp_path),
    }
    return Recipe.check({**data, **changes})


def test_a_run_leaves_its_recipe_metrics_and_usable_weights(tmp_path):
    recipe = tiny(tmp_path)
    folder = train(recipe)
    assert Recipe.load(folder / "recipe.yaml") == recipe
    for name in ("best.safetensors", "last.safetensors", "last.ckpt"):
        assert (folder / name).stat().st_size > 0
    table = (folder / "metrics.csv").read_text(encoding="utf-8")
    assert "val_pck" in table.splitlines()[0]
    assert len(table.splitlines()) > 2
    assert list((folder / "tensorboard").glob("events*"))
    assert not list(folder.glob(".*partial")), "no half-written file may stay behind"
    card = read_card(folder / "best.safetensors")
    assert card.name == "tiny"
    assert card.provenance["recipe"]["epochs"] == 2
    poses = vitruvian.load(folder, detector=None).predict(np.zeros((40, 30, 3), np.uint8))
    assert poses.keypoints.shape == (1, 19, 2)
    with pytest.raises(RecipeError, match="holds an earlier run"):
        train(recipe)


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_equals_not_having_stopped(workers, tmp_path, monkeypatch):
    """Bit for bit, with averaging, progressive sizes and augmentation, after a crash between two epochs."""
    changes = {
        "workers": workers,
        "epochs": 3,
        "input": {"size_wh": [64, 64], "progressive": [[1, 32, 32]]},
        "optim": {"warmup_steps": 2, "ema": 0.9},
        "photometry": {"erase_prob": 0.5},
    }
    whole = train(tiny(tmp_path / "whole", **changes))
    start = SetEpoch.on_train_epoch_start

    def crash_at_two(self, trainer, module):
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")
        start(self, trainer, module)

    recipe = tiny(tmp_path / "parts", **changes)
    with monkeypatch.context() as patch:
        patch.setattr(SetEpoch, "on_train_epoch_start", crash_at_two)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe)
    parts = train(recipe, resume=True)
    expected, got = read_state(whole / "last.safetensors"), read_state(parts / "last.safetensors")
    assert (parts / "metrics.1.csv").is_file(), "what the stopped run logged is kept"
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_stopping_early_keeps_the_schedule_and_can_go_on(tmp_path):
    """``stop_after`` leaves a run that, resumed without it, ends where an uninterrupted one does."""
    whole = train(tiny(tmp_path / "whole", epochs=3))
    train(tiny(tmp_path / "parts", epochs=3, stop_after=1))
    parts = train(tiny(tmp_path / "parts", epochs=3), resume=True)
    expected, got = read_state(whole / "last.safetensors"), read_state(parts / "last.safetensors")
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_weights_of_small_crops_never_count_as_best(tmp_path):
    sizes = {"size_wh": [64, 64], "progressive": [[2, 32, 32]]}
    small = train(tiny(tmp_path / "small", epochs=3, stop_after=2, input=sizes))
    assert read_card(small / "best.safetensors").metrics == (), "nothing was measured at the final size"
    whole = train(tiny(tmp_path / "whole", epochs=3, input=sizes))
    assert read_card(whole / "best.safetensors").metrics[0]["epoch"] == 2


def test_a_run_without_a_due_validation_is_measured_all_the_same(tmp_path):
    folder = train(tiny(tmp_path, epochs=1, val_every=5))
    assert read_card(folder / "best.safetensors").metrics[0]["epoch"] == 0


def test_a_recipes_path_will_do(tmp_path):
    tiny(tmp_path, epochs=1).dump(tmp_path / "r.yaml")
    assert (vitruvian.train(tmp_path / "r.yaml") / "best.safetensors").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": {"name": "mse"}}, "unknown loss 'mse'"),
        ({"loss": {"name": "heatmap_mse", "options": {"peak": 3}}},
         "takes \\['peak_weight', 'presence', 'rival_weight'\\]"),
        ({"codec": {"kind": "heatmap", "sigmas": 2}}, "sigmas"),
        ({"codec": {"kind": "simcc"}}, "not for a codec of kind 'simcc'"),
        ({"codec": {"kind": "simcc"}, "loss": {"name": "simcc_cross_entropy"},
          "input": {"size_wh": [64, 64], "progressive": [[1, 32, 32]]}}, "SimCC"),
        ({"input": {"size_wh": [64, 72]}}, "multiples of 32"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_before_anything_is_decoded(tmp_path, changes, said):
    with pytest.raises(RecipeError, match=said):
        train(tiny(tmp_path, **changes))
    assert not (tmp_path / "tiny").exists()


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(RecipeError, match="nothing to resume"):
        train(tiny(tmp_path), resume=True)


def test_fine_tuning_starts_from_a_runs_weights(tmp_path):
    first = train(tiny(tmp_path, epochs=1))
    frozen = {"name": "frozen", "epochs": 1, "optim": {"lr": 1e-12, "ema": None, "weight_decay": 0.0}}
    model = {"name": "compact", "options": tiny(tmp_path).model.options, "init": str(first)}
    second = train(tiny(tmp_path, model=model, **frozen))
    before, after = read_state(first / "last.safetensors"), read_state(second / "last.safetensors")
    for name in before:
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(after[name], before[name], atol=1e-7, err_msg=name)


def test_unknown_augmentation_fields_are_named(tmp_path):
    with pytest.raises(RecipeError, match="rotate"):
        train(tiny(tmp_path, geometry={"rotate": 3}))


@pytest.mark.slow
def test_two_processes_train_together(tmp_path):
    """DDP from the command line, as a user starts it."""
    recipe = tiny(tmp_path, devices=2, epochs=1)
    recipe.dump(tmp_path / "ddp.yaml")
    command = [sys.executable, "-m", "vitruvian", "train", str(tmp_path / "ddp.yaml")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MEMBER: 2/2" in done.stdout + done.stderr
    assert np.isfinite(read_state(tmp_path / "tiny" / "best.safetensors")["stem.0.0.weight"]).all()


def test_average_follows_its_formula():
    """Against a written-out loop in float64."""
    callback = Ema(0.9)
    average = callback._kwargs["multi_avg_fn"]
    mean, now = [torch.zeros(3)], [torch.ones(3)]
    expected = np.zeros(3)
    for n in range(1, 30):
        average(mean, now, torch.tensor(n))
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay)
        np.testing.assert_allclose(mean[0].numpy(), expected, rtol=1e-5)
    counters = [torch.tensor(3)], [torch.tensor(8)]
    average(*counters, 5)
    assert counters[0][0].item() == 8


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_learning_rate_schedules(schedule):
    optim = OptimPart(schedule=schedule, milestones=(2, 3), warmup_steps=10)
    module = LitPose.__new__(LitPose)
    object.__setattr__(module, "__dict__", {"optim": optim, "total_steps": 400, "steps_per_epoch": 100})
    factor = module._lr_factor
    assert factor(0) == pytest.approx(0.1, rel=1e-3)
    assert factor(4) == pytest.approx(0.5, rel=1e-2)
    if schedule == "cosine":
        assert factor(200) == pytest.approx(0.99 * 0.5 + 0.01)
        assert factor(400) == pytest.approx(0.01)
        assert factor(100) == pytest.approx(0.99 * 0.5 * (1 + math.cos(math.pi / 4)) + 0.01)
    elif schedule == "step":
        assert [factor(s) for s in (199, 200, 300)] == pytest.approx([1, 0.1, 0.01])
    else:
        assert factor(399) == 1


def test_fractions_of_photos_partition_them(rng):
    names = [f"im{i:05}.jpg" for i in rng.integers(0, 99999, 500)]
    low = [in_fraction(n, (0.0, 0.3)) for n in names]
    high = [in_fraction(n, (0.3, 1.0)) for n in names]
    assert all(a != b for a, b in zip(low, high, strict=True))
    assert 0.15 < np.mean(low) < 0.45
