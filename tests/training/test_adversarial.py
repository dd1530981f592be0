"""Adversarial training end to end on a few drawn figures: stages, resume, several processes, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.errors import RecipeError
from vitruvian.training import Recipe, train
from vitruvian.training.adversarial import LitAdversarial
from vitruvian.training.callbacks import SetEpoch
from vitruvian.weights.checkpoint import read_state

_STAGES = {"generator": 1, "discriminator": 1, "joint": 1}


def tiny(tmp_path: Path, part: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    data = {
        "name": "tiny",
        "model": {"name": "hourglass", "options": {"stacks": 2, "width": 8}},
        "input": {"size_wh": [64, 64]},
        "codec": {"kind": "heatmap", "sigma": 1.0},
        "loss": {"name": "heatmap_mse"},
        "train": [{"format": "synthetic", "options": {"count": 8, "seed": 1}}],
        "val": [{"format": "synthetic", "options": {"count": 4, "seed": 2}}],
        "optim": {"warmup_steps": 2, "ema": None},
        "adversarial": {"width": 8, "stages": _STAGES, **(part or {})},
        "epochs": 3,
        "batch_size": 4,
        "workers": 0,
        "precision": "32",
        "out": str(tmp_path),
    }
    return Recipe.check({**data, **changes})


def _weights(module: LitAdversarial) -> dict[str, np.ndarray]:
    return {k: v.detach().clone().numpy() for k, v in module.state_dict().items()}


@pytest.mark.parametrize(
    "part",
    [
        {"mode": "sane"},
        {"mode": "paper", "judges": ["pose"], "architecture": "fc"},
        {"mode": "cooperative", "judges": ["confidence"], "length": "torso", "within": 0.2},
        {"mode": "began", "began": {"gamma": 20.0, "lambda_k": 0.01, "lambda_g": 0.1}},
    ],
    ids=lambda part: part["mode"],
)
def test_each_stage_moves_its_own_part_and_nothing_else(part: dict, tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[dict[str, np.ndarray]] = []
    start = SetEpoch.on_train_epoch_start

    def remember(self: Any, trainer: Any, module: Any) -> None:
        seen.append(_weights(module))
        start(self, trainer, module)

    monkeypatch.setattr(SetEpoch, "on_train_epoch_start", remember)
    monkeypatch.setattr(LitAdversarial, "on_train_end", lambda self: seen.append(_weights(self)), raising=False)
    train(tiny(tmp_path, part))
    assert len(seen) == 4
    moved = [{k for k, v in after.items() if not np.array_equal(v, before[k])} for before, after in pairwise(seen)]
    network, judges = ({k for k in seen[0] if k.startswith(owner)} for owner in ("network.", "judges."))
    learned = lambda keys: {k for k in keys if k.endswith((".weight", ".bias"))}  # noqa: E731
    assert not moved[0] & judges
    assert learned(network) <= moved[0], "the generator's stage"
    assert not moved[1] & network, "frozen means its norms' statistics too"
    assert moved[1] & judges
    assert learned(network) <= moved[2]
    assert moved[2] & judges
    # A bias before an instance norm has no effect and need not move.
    assert {k for k in learned(judges) if k.endswith(".weight")} <= moved[1] | moved[2]
    assert ("k" in moved[2]) == (part["mode"] == "began")


@pytest.mark.parametrize("stopped_at", [1, 2])
def test_resuming_at_any_stage_equals_not_having_stopped(stopped_at: int, tmp_path: Path, monkeypatch: Any) -> None:
    part = {"mode": "began" if stopped_at == 2 else "sane", "stages": {"generator": 1, "discriminator": 1, "joint": 2}}
    changes = {"epochs": 4, "precision": "bf16", "optim": {"warmup_steps": 2, "ema": 0.9}}
    whole = train(tiny(tmp_path / "whole", part, **changes))
    start = SetEpoch.on_train_epoch_start

    def crash(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == stopped_at + 1:
            raise RuntimeError("power cut")
        start(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(SetEpoch, "on_train_epoch_start", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny(tmp_path / "parts", part, **changes))
    parts = train(tiny(tmp_path / "parts", part, **changes), resume=True)
    states = [torch.load(folder / "last.ckpt", weights_only=True)["state_dict"] for folder in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    assert any(k.startswith("judges.") for k in states[0])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_the_checkpoint_is_the_pose_network_alone(tmp_path: Path) -> None:
    state = read_state(train(tiny(tmp_path)) / "best.safetensors")
    assert not any("judge" in k or "rebuild" in k for k in state)
    plain = read_state(train(tiny(tmp_path / "plain", name="plain", adversarial=None)) / "best.safetensors")
    assert state.keys() == plain.keys()


def test_the_first_stage_is_plain_training(tmp_path: Path) -> None:
    """The same steps as without ``adversarial``, to the last bit: an ablation compares what it says it compares."""
    stages = {"generator": 2, "discriminator": 1, "joint": 1}
    staged = train(tiny(tmp_path / "staged", {"stages": stages}, epochs=4, stop_after=2))
    plain = train(tiny(tmp_path / "plain", epochs=3, stop_after=2, adversarial=None))
    one, other = read_state(staged / "last.safetensors"), read_state(plain / "last.safetensors")
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_two_processes(tmp_path: Path) -> None:
    recipe = tiny(tmp_path, {"mode": "sane"}, devices=2)
    recipe.dump(tmp_path / "ddp.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "vitruvian", "train", str(tmp_path / "ddp.yaml")],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MEMBER: 2/2" in done.stdout + done.stderr
    state = torch.load(tmp_path / "tiny" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(v).all() for v in state.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 5}, "the stages have 3 epochs in all, 'epochs' says 5"),
        ({"adversarial": {"stages": _STAGES, "judges": []}}, "judges"),
        ({"adversarial": {"stages": _STAGES, "mode": "gan"}}, "mode"),
        ({"skeleton": "coco17"}, "lacks neck and head_top"),
        ({"input": {"size_wh": [64, 64], "progressive": [[1, 32, 32]]}}, "progressive"),
        (
            {"codec": {"kind": "simcc"}, "loss": {"name": "simcc_cross_entropy"}, "model": {"name": "compact"}},
            "heatmap codec",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        train(tiny(tmp_path, **changes))
