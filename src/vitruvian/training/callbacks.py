"""Lightning callbacks of a training run: averaged weights, and the sampler's epoch."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar, WeightAveraging

from ..weights.card import Card
from ..weights.checkpoint import save_checkpoint
from .sampling import EpochSampler, SameSizeBatches
from .validation import figures_of


class Ema(WeightAveraging):
    """Exponential moving average of weights and batch-norm statistics; validation and the result use it.

    The decay grows with the number of steps n as (1 + n) / (10 + n) up to ``decay``, so that a short run is not
    dragged down by its random start.
    """

    def __init__(self, decay: float) -> None:
        def average(mean: tuple | list, now: tuple | list, count: torch.Tensor | int) -> None:
            n = int(count)
            rate = 1 - min(decay, (1 + n) / (10 + n))
            if mean[0].is_floating_point():
                torch._foreach_lerp_(list(mean), list(now), rate)  # type: ignore[attr-defined]
            else:  # batch norm's counters
                torch._foreach_copy_(list(mean), list(now))  # type: ignore[attr-defined]

        super().__init__(use_buffers=True, multi_avg_fn=average)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # A network that rests while its discriminators learn would pull its average to its last weights.
        if not getattr(pl_module, "resting", False):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class Progress(RichProgressBar):
    """Lightning's bar without the logger's version number."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class StepSeeds(Callback):
    """Random numbers of the network itself, as of dropout, start from ``seed``, epoch and step, so that a resumed run
    draws the same ones.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not once an epoch: loaders draw from the same generator, at a moment that differs after a resume.
        source = np.random.SeedSequence((self._seed, trainer.current_epoch, batch_idx, trainer.global_rank))
        torch.manual_seed(int(source.generate_state(1)[0]))


class SetEpoch(StepSeeds):
    """Tells the data which epoch it is as well; Lightning does so only for samplers of its own."""

    def __init__(self, seed: int, loader: Any) -> None:
        super().__init__(seed)
        self._samplers = [
            s for s in (loader.sampler, loader.batch_sampler) if isinstance(s, EpochSampler | SameSizeBatches)
        ]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        # A loader with workers draws ahead when it is set up, which on a resume is before the epoch is said to start.
        self._tell(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tell(trainer.current_epoch)

    def _tell(self, epoch: int) -> None:
        for sampler in self._samplers:
            sampler.set_epoch(epoch)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Progressive resizing: a network is measured at the size it is being trained at.
        trainer.val_dataloaders.dataset.epoch = trainer.current_epoch  # type: ignore[union-attr]


class KeepBest(Callback):
    """After each validation writes ``last.safetensors`` and, at a new best figure, ``best.safetensors``.

    What is written are the averaged weights, the ones that were measured. With progressive sizes only figures at the
    final size compete: weights of smaller crops are useless at another size than theirs. With ``every`` each validated
    epoch's weights stay, as ``epochs/epoch-0004.safetensors``. Epochs before ``first`` do not compete: those of an
    adversarial training's other stages. Which figure decides: the first of `validation.figures_of` the card's codec.
    """

    def __init__(self, folder: Path, card: Card, every: bool = False, first: int = 0) -> None:
        self._folder, self._card, self._every, self._first = folder, card, every, first
        self._figures = figures_of(card.codec)
        self.best = -math.inf
        self.measured_epoch = -1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values = [float(trainer.callback_metrics.get(figure.key, float("nan"))) for figure in self._figures]
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        about = {"split": "validation", "flip": False, "epoch": trainer.current_epoch}
        measured = tuple(
            {"metric": figure.metric, "value": round(value, 4), **about}
            for figure, value in zip(self._figures, values, strict=True)
        )
        card = replace(self._card, metrics=measured)
        state = averaged_state(trainer, pl_module)
        save_checkpoint(self._folder / "last.safetensors", state, card)
        self.measured_epoch = trainer.current_epoch
        if self._every:
            save_checkpoint(self._folder / "epochs" / f"epoch-{trainer.current_epoch:04d}.safetensors", state, card)
        competes = trainer.current_epoch >= self._first and self._at_final_size(trainer)
        rank = values[0] if self._figures[0].more_is_better else -values[0]
        if competes and rank > self.best:
            self.best = rank
            save_checkpoint(self._folder / "best.safetensors", state, card)

    def _at_final_size(self, trainer: L.Trainer) -> bool:
        dataset = trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        sizes = getattr(dataset, "sizes", None)  # whole pictures have sizes of their own
        return sizes is None or sizes.at(trainer.current_epoch) == sizes.final_wh

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def averaged_state(trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, torch.Tensor]:
    """The network's averaged weights, or its own where nothing is averaged."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Ema) and callback._average_model is not None:
            return callback._average_model.module.network.state_dict()  # type: ignore[union-attr]
    return pl_module.network.state_dict()  # type: ignore[union-attr]


class AtomicCheckpoint(Callback):
    """Writes everything needed to resume at the end of each epoch; a kill mid-write leaves the previous one whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        temporary = self._path.with_name(f".{self._path.name}.partial")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            os.replace(temporary, self._path)
