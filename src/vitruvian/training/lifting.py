"""Training a lifter from a recipe with a part ``lifting``: motion capture in, a run folder as `train` leaves it out.

The loss is the mean distance of the joints in mm (MPJPE). ``best.safetensors`` is that of the lowest one on the takes
held back for validation, seen by the same cameras with the same noise each time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import RecipeError, VitruvianError
from ..formats.motion import Motion
from ..losses import pose_mpjpe
from ..models.lifter import build_lifter
from ..provenance import provenance
from ..weights.checkpoint import save_checkpoint
from ..weights.lifter_card import LifterCard
from .callbacks import AtomicCheckpoint, Ema, Progress, StepSeeds, averaged_state
from .lifting_data import LiftingBatches, Views, read_takes
from .lifting_noise import NoiseModel
from .recipe import Recipe, changed_fields, idle_fields

_USED = {
    "name", "model", "loss", "train", "lifting", "optim", "epochs", "stop_after", "batch_size", "val_every", "seed",
    "out", "expect", "precision", "devices",
}  # fmt: skip


class LitLifter(L.LightningModule):
    """A lifter, its loss, AdamW and the recipe's schedule. ``total_steps`` is that of the whole recipe."""

    def __init__(self, network: nn.Module, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.network, self.optim, self.total_steps = network, recipe.optim, total_steps

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        loss = self._loss(batch)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        self.log("val_mpjpe_mm", self._loss(batch), prog_bar=True, batch_size=len(batch[0]))

    def _loss(self, batch: list[Tensor]) -> Tensor:
        inputs, joints_mm = batch
        found = self.network(inputs).flatten(0, -3)
        joints_mm = joints_mm.flatten(0, -3)
        return pose_mpjpe(found, joints_mm, joints_mm.new_ones(joints_mm.shape[:2]))

    def configure_optimizers(self) -> Any:
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        keep = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": self.optim.weight_decay}, {"params": keep, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.optim.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_factor(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, self.optim.warmup_steps))
        if self.optim.schedule == "constant":
            return warm
        return warm * (0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.total_steps)))) * 0.99 + 0.01)


class _Epoch(Callback):
    """Tells the training data which epoch it is; those for validation stay the same."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.train_dataloader.dataset.epoch = trainer.current_epoch  # type: ignore[union-attr]


class _KeepLowest(Callback):
    """After each validation writes ``last.safetensors`` and, at a new lowest error, ``best.safetensors``."""

    def __init__(self, folder: Path, card: LifterCard) -> None:
        self._folder, self._card, self.lowest = folder, card, math.inf

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics["val_mpjpe_mm"])
        measured = {"metric": "MPJPE (mm)", "value": round(value, 2), "split": "validation takes, noisy 2D"}
        card = replace(self._card, metrics=({**measured, "epoch": trainer.current_epoch},))
        state = averaged_state(trainer, pl_module)
        save_checkpoint(self._folder / "last.safetensors", state, card)
        if value < self.lowest:
            self.lowest = value
            save_checkpoint(self._folder / "best.safetensors", state, card)

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest = state_dict["lowest"]


def check_lifting(recipe: Recipe) -> nn.Module:
    """The recipe's lifter with fresh weights; `RecipeError` for what it asks for and cannot have."""
    assert recipe.lifting is not None
    idle = sorted(name for name in changed_fields(recipe) if name not in _USED)
    if idle:
        raise RecipeError(f"{', '.join(idle)} would change nothing in a recipe with a part 'lifting'")
    if recipe.loss.name != "pose_mpjpe" or recipe.loss.options:
        raise RecipeError(f"loss.name: lifters are trained with 'pose_mpjpe', got '{recipe.loss.name}'")
    if recipe.optim.name != "adamw" or recipe.optim.schedule == "step":
        raise RecipeError("optim: lifters are trained with adamw on a cosine or constant schedule")
    if len(recipe.train) != 1 or recipe.train[0].format != "mocap_npz":
        raise RecipeError("train: a lifter needs one source, of format 'mocap_npz'")
    idle_keys = idle_fields(recipe.train[0], {"format", "path", "name", "terms"})
    if idle_keys:
        raise RecipeError(f"train: {', '.join(idle_keys)} would change nothing; lifting.val_takes holds back")
    if recipe.devices != 1 or recipe.precision != "32" or recipe.model.init or recipe.model.freeze:
        raise RecipeError("lifters are trained from fresh weights, on one device, with precision '32'")
    try:
        Views(**recipe.lifting.views)
        return build_lifter(recipe.model.name, **recipe.model.options)
    except (VitruvianError, TypeError) as error:
        raise RecipeError(f"model or lifting.views: {error}") from error


def split_takes(recipe: Recipe) -> dict[str, list[Motion]]:
    """``train``, ``val`` and the named test sets of the recipe's takes; `RecipeError` for a take in two of them."""
    part, path = recipe.lifting, recipe.train[0].path
    assert part is not None
    sets = {"val": read_takes(path, part.val_takes)}
    sets |= {name: read_takes(path, patterns) for name, patterns in part.test_takes.items()}
    held = [take.name for takes in sets.values() for take in takes]
    twice = sorted({name for name in held if held.count(name) > 1})
    if twice or "train" in part.test_takes or "val" in part.test_takes:
        raise RecipeError(f"lifting: takes belong to one set each, and no test set is called train or val: {twice}")
    return {"train": [take for take in read_takes(path, ["*"]) if take.name not in held], **sets}


def train_lifter(recipe: Recipe, folder: Path, resume: Path | None) -> None:
    """Train the lifter of a checked recipe into ``folder``, from its checkpoint ``resume`` if given."""
    network, part = check_lifting(recipe), recipe.lifting
    assert part is not None
    L.seed_everything(recipe.seed, verbose=False)
    network = build_lifter(recipe.model.name, **recipe.model.options)  # once more, from the recipe's seed
    takes, noise, frames = split_takes(recipe), NoiseModel.load(), network.frames
    views = Views(**part.views)
    train = LiftingBatches(takes["train"], frames, recipe.batch_size, views, noise, recipe.seed)  # type: ignore[arg-type]
    val = LiftingBatches(takes["val"], frames, recipe.batch_size, views, noise, recipe.seed + 1)  # type: ignore[arg-type]
    fps = {take.fps for take in takes["train"]}
    source = recipe.train[0]
    card = LifterCard(
        name=recipe.name,
        model=recipe.model.name,
        options=dict(recipe.model.options),
        frames=int(frames),  # type: ignore[arg-type]
        fps=float(sum(fps) / len(fps)),
        data=({"name": source.name or Path(source.path).name, "terms": source.terms or "not stated"},),
        provenance=provenance(recipe),
    )
    epochs = recipe.epochs if recipe.stop_after is None else min(recipe.epochs, recipe.stop_after)
    callbacks: list[Callback] = [_Epoch(), StepSeeds(recipe.seed)]
    if recipe.optim.ema is not None:
        callbacks.append(Ema(recipe.optim.ema))
    callbacks += [_KeepLowest(folder, card), AtomicCheckpoint(folder / "last.ckpt"), Progress(leave=True)]
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        precision="32-true",
        gradient_clip_val=recipe.optim.clip or None,
        callbacks=callbacks,
        logger=CSVLogger(folder, name="", version=""),
        check_val_every_n_epoch=min(recipe.val_every, epochs),
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=max(1, min(10, len(train))),
    )
    module = LitLifter(network, recipe, len(train) * recipe.epochs)
    loaders = [DataLoader(data, batch_size=None) for data in (train, val)]  # type: ignore[arg-type]
    trainer.fit(module, loaders[0], loaders[1], ckpt_path=None if resume is None else str(resume), weights_only=True)
