"""`train`: from a recipe to a trained model on disk."""

from __future__ import annotations

import logging
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.progress import track

from ..codecs import BoxesCodec
from ..data import PoseDataset
from ..data.people_scenes import PeopleScenes
from ..data.whole_pictures import WholePictures
from ..errors import RecipeError
from ..models import build_model
from ..provenance import provenance
from ..weights.card import Card
from ..weights.checkpoint import load_into, read_card, save_checkpoint
from ..weights.zoo import find_weights
from .adversarial import LitAdversarial
from .build import card_of, loaders
from .callbacks import AtomicCheckpoint, Ema, KeepBest, Progress, SetEpoch
from .checks import check
from .distil import LitDistilled, load_teacher
from .freeze import check_kept, freeze
from .grid_stages import GRID_WEIGHTS, STAGE_FOLDER, train_grid
from .lifting import train_lifter
from .memory import keep_memory
from .module import LitPose
from .on_device import CropMaker, Views
from .people import LitDetector
from .pictures import Pictures
from .recipe import Recipe


def train(recipe: Recipe | str | os.PathLike, resume: bool = False) -> Path:
    """Train as a recipe says; returns the run's folder ``<out>/<name>``.

    The folder gets ``recipe.yaml``, ``metrics.csv``, TensorBoard events, ``last.ckpt`` (all that resuming needs), and
    after each validation ``last.safetensors`` and, when it is the best so far, ``best.safetensors``: averaged weights
    with their card. All are written atomically.

    Parameters
    ----------
    recipe : a `Recipe`, or the path of its file.
    resume : go on from ``last.ckpt``; the result equals that of a run that was never stopped.

    Raises
    ------
    RecipeError
        A part of the recipe does not fit another, there is nothing to resume, or an earlier run would be overwritten.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(os.fspath(recipe))
    check(recipe)
    folder = Path(recipe.out) / recipe.name
    checkpoint = folder / "last.ckpt"
    if recipe.grid is not None and not checkpoint.is_file():
        checkpoint = folder / STAGE_FOLDER / "last.ckpt"
    if resume and not checkpoint.is_file():
        raise RecipeError(f"nothing to resume: {checkpoint} does not exist")
    if not resume and checkpoint.is_file():
        raise RecipeError(f"{folder} holds an earlier run; resume it, choose another 'name' or 'out', or remove it")
    _quiet()
    if not torch.cuda.is_available():
        keep_memory()
    rank = int(os.environ.get("LOCAL_RANK", 0))  # with several devices, Lightning starts this program once for each
    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        _keep_earlier_metrics(folder)
        if not (folder / GRID_WEIGHTS).is_file():
            _keep_earlier_metrics(folder / STAGE_FOLDER)
        recipe.dump(folder / "recipe.yaml")
    if recipe.lifting is not None:
        train_lifter(recipe, folder, checkpoint if resume else None)
        return folder
    if recipe.grid is not None:
        train_grid(recipe, folder, resume)
        return folder
    L.seed_everything(recipe.seed, verbose=False)
    train_loader, val_loader = loaders(recipe, rank)
    dataset = train_loader.dataset
    views = dataset if isinstance(dataset, Views) else None
    if views is not None:
        dataset = views.people
    assert isinstance(dataset, PoseDataset | PeopleScenes | WholePictures)
    origin = provenance(recipe)
    if recipe.model.init:
        origin["start"] = read_card(find_weights(recipe.model.init)).provenance
    card = card_of(recipe, dataset, origin)
    network = build_model(recipe.model.name, len(card.skeleton), card.codec, **recipe.model.options)
    if recipe.model.init:
        kept = load_into(network, find_weights(recipe.model.init), strict=False)
        if kept:
            print(f"starting from {recipe.model.init}; {len(kept)} entries are new, first {kept[0]}")
        check_kept(recipe.model, kept)
    freeze(network, recipe.model.freeze)
    steps_per_epoch = len(train_loader)
    module = _module(recipe, card, network, steps_per_epoch)
    trainer, keeper = _trainer(recipe, folder, card, train_loader, log_every=min(10, steps_per_epoch))
    if views is not None:
        packed = partial(track, description="packing photos", disable=rank != 0)
        module.crops = CropMaker(views, trainer.strategy.root_device, packed)
    trainer.fit(module, train_loader, val_loader, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    if trainer.is_global_zero:
        if keeper.measured_epoch < trainer.current_epoch - 1 or val_loader is None:
            save_checkpoint(folder / "last.safetensors", network.state_dict(), card)
        if not (folder / "best.safetensors").is_file():  # nothing was measured at the final size
            save_checkpoint(folder / "best.safetensors", network.state_dict(), card)
    return folder


def _module(recipe: Recipe, card: Card, network: torch.nn.Module, steps_per_epoch: int) -> LitPose:
    epochs, adversarial = recipe.epochs, recipe.adversarial
    if adversarial is not None:
        epochs -= adversarial.stages.discriminator  # the network rests there, and so does its schedule
    parts: dict[str, Any] = {
        "network": network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        "codec": card.codec,
        "skeleton": card.skeleton,
        "preprocess": card.preprocess,
        "loss": recipe.loss.name,
        "loss_options": recipe.loss.options,
        "optim": recipe.optim,
        "total_steps": steps_per_epoch * epochs,
        "steps_per_epoch": steps_per_epoch,
    }
    if isinstance(card.codec, BoxesCodec):
        return LitDetector(**parts)
    if recipe.distil is not None:
        return LitDistilled(**parts, teacher=load_teacher(recipe.distil), part=recipe.distil)
    return LitPose(**parts) if adversarial is None else LitAdversarial(**parts, part=adversarial)


def _quiet() -> None:
    """Silence what Lightning says about itself, so that the progress bar and real warnings are left."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*log directory.*",
        ".*logs directory.*",
        ".*does not have many workers.*",
        ".*LeafSpec.*",
        ".*no `val_dataloader`.*",
        ".*in eval mode at the start of training.*",  # frozen parts
    ):
        warnings.filterwarnings("ignore", message)


def _keep_earlier_metrics(folder: Path) -> None:
    """A resumed run writes a new ``metrics.csv``; the stopped part's becomes ``metrics.1.csv``, ``metrics.2.csv``, …"""
    table = folder / "metrics.csv"
    if table.is_file():
        number = 1
        while (folder / f"metrics.{number}.csv").exists():
            number += 1
        table.rename(folder / f"metrics.{number}.csv")


def _strategy(recipe: Recipe) -> str:
    if recipe.devices == 1:
        return "auto"
    # Each step of adversarial training uses a part of the weights only.
    return "ddp" if recipe.adversarial is None else "ddp_find_unused_parameters_true"


def _trainer(recipe: Recipe, folder: Path, card: Card, train_loader: Any, log_every: int) -> tuple[L.Trainer, KeepBest]:
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    if recipe.precision == "16" and not torch.cuda.is_available():
        raise RecipeError("precision 16 needs a GPU; on a CPU use bf16 or 32")
    callbacks: list[Callback] = [SetEpoch(recipe.seed, train_loader)]
    if recipe.optim.ema is not None:
        callbacks.append(Ema(recipe.optim.ema))
    stages = recipe.adversarial.stages if recipe.adversarial is not None else None
    first = 0 if stages is None else stages.generator + stages.discriminator
    keeper = KeepBest(folder, card, every=recipe.keep_epochs, first=first)
    if recipe.pictures:
        callbacks.append(Pictures(recipe.pictures, folder / "pictures", recipe.seed))
    callbacks += [keeper, AtomicCheckpoint(folder / "last.ckpt"), Progress(leave=True)]
    epochs = recipe.epochs if recipe.stop_after is None else min(recipe.epochs, recipe.stop_after)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=recipe.devices,
        strategy=_strategy(recipe),
        precision=precision,
        # In turns, each optimiser clips its own part (see `LitAdversarial`).
        gradient_clip_val=(recipe.optim.clip or None) if recipe.adversarial is None else None,
        callbacks=callbacks,
        logger=[CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="tensorboard")],
        check_val_every_n_epoch=min(recipe.val_every, epochs),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=log_every,
    )
    return trainer, keeper
