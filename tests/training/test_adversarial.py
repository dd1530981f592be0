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
from vitruvian.weights.checkpoint import read_card, read_state

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
        {"mode": "paper_abs", "judges": ["pose"]},
        {"mode": "cooperative", "judges": ["confidence"], "map_error": 0.4},
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


@pytest.mark.parametrize("stopped_at", [0, 1, 2])
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
    kept = [torch.load(folder / "last.ckpt", weights_only=True) for folder in (whole, parts)]
    assert repr(kept[0]["optimizer_states"]) == repr(kept[1]["optimizer_states"])
    assert kept[0]["lr_schedulers"] == kept[1]["lr_schedulers"]
    states = [checkpoint["state_dict"] for checkpoint in kept]
    assert states[0].keys() == states[1].keys()
    assert any(k.startswith("judges.") for k in states[0])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_the_checkpoint_is_the_pose_network_alone(tmp_path: Path) -> None:
    state = read_state(train(tiny(tmp_path)) / "best.safetensors")
    assert not any("judge" in k or "rebuild" in k for k in state)
    plain = read_state(train(tiny(tmp_path / "plain", name="plain", adversarial=None)) / "best.safetensors")
    assert state.keys() == plain.keys()


def test_frozen_parts_stay_in_every_stage(tmp_path: Path) -> None:
    start = train(tiny(tmp_path / "plain", adversarial=None, epochs=1)) / "last.safetensors"
    data = tiny(tmp_path / "staged").model_dump(mode="json")
    data["model"] |= {"init": str(start), "freeze": ["stem"]}
    before, after = read_state(start), read_state(train(Recipe.check(data)) / "last.safetensors")
    stem = [name for name in before if name.startswith("stem.")]
    assert any(name.endswith("running_mean") for name in stem)
    for name in stem:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert any(not np.array_equal(after[name], before[name]) for name in before)


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
        ({"codec": {"kind": "heatmap", "activation": "softmax"}, "loss": {"name": "heatmap_cross_entropy"}}, "linear"),
        ({"input": {"size_wh": [96, 96]}}, "multiples of 16"),
        (
            {
                "model": {"name": "hourglass", "options": {"residual": "pre"}},
                "input": {"size_wh": [96, 96]},
                "adversarial": None,
            },
            "of 64",
        ),
        ({"adversarial": {"stages": _STAGES, "mode": "began", "alpha": 0.5}}, "alpha would change nothing"),
        ({"adversarial": {"stages": _STAGES, "judges": ["confidence"], "within": 0.1}}, "within would change nothing"),
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


def test_fp16_gradients_are_clipped_at_their_true_size(tmp_path: Path, monkeypatch: Any) -> None:
    """With a gradient scaler, as on a GPU; a CPU has one too."""
    import lightning as L
    from lightning.pytorch.plugins import MixedPrecision

    from vitruvian.training import run

    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_
    build = L.Trainer

    def with_scaler(**options: Any) -> Any:
        del options["precision"]
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)  # type: ignore[attr-defined]
        return build(**options, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])

    def remember(parameters: Any, limit: float) -> Any:
        norms.append(float(clip(parameters, limit)))

    monkeypatch.setattr(run.L, "Trainer", with_scaler)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", remember)
    recipe = tiny(tmp_path, {"mode": "sane"})
    train(recipe)
    finite = [n for n in norms if np.isfinite(n)]
    assert len(finite) >= 6
    assert max(finite) < 2.0**11, "scaled gradients would be thousands of times as large"


def test_only_the_joint_stage_competes_and_the_average_rests_with_the_network(tmp_path: Path) -> None:
    part = {"stages": {"generator": 2, "discriminator": 2, "joint": 1}}
    folder = train(tiny(tmp_path, part, epochs=5, keep_epochs=True, optim={"warmup_steps": 2, "ema": 0.9}))
    assert read_card(folder / "best.safetensors").metrics[0]["epoch"] == 4
    epochs = [read_state(folder / "epochs" / f"epoch-{i:04d}.safetensors") for i in range(5)]
    for name, value in epochs[1].items():
        np.testing.assert_array_equal(epochs[2][name], value, err_msg=name)
        np.testing.assert_array_equal(epochs[3][name], value, err_msg=name)
    assert any(not np.array_equal(epochs[4][k], v) for k, v in epochs[3].items())


def test_labels_of_hand_made_maps(tmp_path: Path) -> None:
    """Joint by joint: right, off by more than allowed in x alone, unlabelled, outside of the crop."""
    from vitruvian.codecs import HeatmapCodec
    from vitruvian.models import build_model
    from vitruvian.preprocess import Preprocess
    from vitruvian.skeletons import LSP14
    from vitruvian.training.adversarial import _Seen

    codec = HeatmapCodec((64, 128), sigma=1.0, outside="empty", unlabelled="empty")
    recipe = tiny(tmp_path, {"length": "torso", "within": 0.2}, skeleton="lsp14")
    module = LitAdversarial(
        build_model("compact", 14, codec, widths=(8, 8, 8, 8), depths=(0, 0, 0), neck=(8, 8)),
        codec, LSP14, Preprocess((64, 128)), "heatmap_mse", {}, recipe.optim, 10, 10, part=recipe.adversarial,
    )  # fmt: skip
    points = torch.full((2, 14, 2), 30.0)
    first, second = LSP14.index("left_shoulder"), LSP14.index("right_hip")
    points[0, first], points[0, second] = torch.tensor([10.0, 20.0]), torch.tensor([40.0, 60.0])  # a torso of 50 px
    visibility = torch.full((2, 14), 2)
    points[0, 4], visibility[0, 4] = torch.tensor([float("nan")] * 2), torch.tensor(0)
    points[0, 5] = torch.tensor([-20.0, 30.0])
    points[1, first], visibility[1, first] = torch.tensor([float("nan")] * 2), torch.tensor(0)
    targets = codec.encode_torch(points, visibility)
    assert targets.weights[0, 4] == 1, "this codec teaches empty maps"
    found = torch.zeros(2, 14, 32, 16)
    for joint, (x, y) in {0: (29.5, 29.5), 1: (37.5, 33.5), 2: (41.5, 29.5), 3: (29.5, 41.5)}.items():
        found[0, joint, int((y + 0.5) // 4), int((x + 0.5) // 4)] = 0.9
    batch = {"keypoints_px": points, "visibility": visibility}
    seen = _Seen(module, found, targets, batch, torch.zeros(2, 3, 128, 64))
    right, weights = seen.labels("pose")
    assert right[0, :4].tolist() == [1, 1, 0, 0], "10 px are a fifth of the torso; 12 are more, in x as in y"
    assert weights[0, :6].tolist() == [1, 1, 1, 1, 0, 0]
    assert (weights[1] == 0).all(), "a torso that is not labelled measures nobody"
    assert seen.labels("confidence")[1][0, 4] == 0, "nobody judges a joint that is not labelled"
