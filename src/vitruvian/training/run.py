"""`train`: from a recipe to a trained model on disk."""

from __future__ import annotations

import hashlib
import inspect
import logging
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.progress import track
from torch.utils.data import DataLoader

from ..codecs import Codec, HeatmapCodec, codec_from_dict
from ..data import PoseDataset, SizeSchedule
from ..data.select import select_people
from ..errors import RecipeError, VitruvianError
from ..formats import read
from ..losses import LOSSES
from ..models import build_model
from ..preprocess import Preprocess
from ..provenance import provenance
from ..skeletons import get_skeleton
from ..transforms import PRESETS, Geometry, Photometry, RandomGeometry, RandomPhotometry
from ..types import Record
from ..weights.card import Card
from ..weights.checkpoint import load_into, read_card, save_checkpoint
from ..weights.zoo import find_weights
from .adversarial import LitAdversarial, build_judges, length_joints
from .callbacks import AtomicCheckpoint, Ema, KeepBest, Progress, SetEpoch
from .memory import keep_memory
from .module import LitPose
from .pictures import Pictures
from .recipe import DataSource, Recipe
from .sampling import EpochSampler


def in_fraction(name: str, fraction: tuple[float, float]) -> bool:
    """Whether a photo belongs to the share [a, b) of its data set, decided by a hash of its file name alone."""
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return fraction[0] <= position < fraction[1]


def load_records(source: DataSource) -> list[Record]:
    """The records of one data source of a recipe, its report printed."""
    if source.format == "synthetic":
        from ..synth import synthetic_records

        return synthetic_records(**source.options)
    result = read(source.format, source.path, images=source.images, **source.options)
    if result.report.skipped:
        print(result.report)
    records = [r for r in result.records if in_fraction(_group_of(r, source), source.fraction)]
    if source.min_joints > 1 or source.min_area_px > 0:
        records, selected = select_people(records, source.min_joints, source.min_area_px)
        print(selected)
    return records


def _group_of(record: Record, source: DataSource) -> str:
    """What decides whether a record is held back: its file's name, or the field that the source groups by."""
    name = Path(str(record.image_path)).name
    if source.group is None:
        return name
    if source.group not in record.extra:
        raise RecipeError(
            f"{source.path}: image '{name}' has no '{source.group}' to group by; it has {sorted(record.extra)}"
        )
    return str(record.extra[source.group])


def build_dataset(recipe: Recipe, sources: Sequence[DataSource], training: bool) -> tuple[PoseDataset, np.ndarray]:
    """The data set of several sources and how often each of its people comes in an epoch."""
    records: list[Record] = []
    repeats: list[int] = []
    for source in sources:
        found = load_records(source)
        records += found
        repeats += [source.repeat] * len(found)
    preprocess = Preprocess(size_wh=recipe.input.size_wh, padding=recipe.input.padding)
    sizes = SizeSchedule(preprocess.size_wh, tuple((until, (w, h)) for until, w, h in recipe.input.progressive))
    geometry, photometry = augmentation(recipe) if training else (None, None)
    dataset = PoseDataset(
        records,
        get_skeleton(recipe.skeleton),
        preprocess,
        geometry,
        photometry,
        sizes,
        recipe.seed,
        cache_bytes=int(recipe.cache_gb * 2**30),
    )
    return dataset, np.array([repeats[record_index] for record_index, _ in dataset.people])


def augmentation(recipe: Recipe) -> tuple[Geometry | None, Photometry | None]:
    """What a recipe does to its crops: a preset, or its own amounts.

    Raises
    ------
    RecipeError
        No such preset, or an amount that there is not.
    """
    if recipe.augment is not None:
        if recipe.augment not in PRESETS:
            raise RecipeError(f"augment: unknown preset '{recipe.augment}'; known: {', '.join(PRESETS)}")
        return PRESETS[recipe.augment]
    try:
        return RandomGeometry(**recipe.geometry), RandomPhotometry(**recipe.photometry)
    except TypeError as error:
        raise RecipeError(f"recipe '{recipe.name}', geometry or photometry: {error}") from error


def loaders(recipe: Recipe, rank: int = 0, persistent: bool = True) -> tuple[DataLoader, DataLoader | None]:
    """Training and validation loaders; photos are decoded here, before workers are started.

    ``persistent`` workers outlive an epoch, which spares their start.
    """
    common: dict[str, Any] = {"batch_size": recipe.batch_size, "num_workers": recipe.workers}
    if recipe.workers:
        common |= {"persistent_workers": persistent, "prefetch_factor": 4}
    dataset, repeats = build_dataset(recipe, recipe.train, training=True)
    dataset.preload(lambda items: track(items, "decoding photos"))
    sampler = EpochSampler(repeats, recipe.seed, recipe.batch_size, rank, recipe.devices)
    train = DataLoader(
        dataset,  # type: ignore[arg-type]
        sampler=sampler,
        drop_last=False,
        **common,
    )
    if not recipe.val:
        return train, None
    held_back, _ = build_dataset(recipe, recipe.val, training=False)
    held_back.preload(lambda items: track(items, "decoding validation photos"))
    return train, DataLoader(
        held_back,  # type: ignore[arg-type]
        **(common | {"num_workers": 0, "persistent_workers": False, "prefetch_factor": None}),
    )


def sources_of(recipe: Recipe) -> tuple[dict[str, Any], ...]:
    """What a card says of the training data."""
    return tuple(
        {
            "name": source.name or Path(source.path).name or source.format,
            "terms": source.terms or "not stated",
            "share_of_photos": list(source.fraction),
            "repeat": source.repeat,
        }
        for source in recipe.train
    )


def check(recipe: Recipe) -> None:
    """Everything that can be known to be wrong before photos are decoded.

    Raises
    ------
    RecipeError
        An unknown loss, or options it does not have; a codec that cannot be built, that the loss is not for, or that
        cannot change its size although the recipe does; sizes the network cannot take.
    """
    if recipe.loss.name not in LOSSES:
        raise RecipeError(f"loss.name: unknown loss '{recipe.loss.name}'; known: {', '.join(sorted(LOSSES))}")
    options = set(inspect.signature(LOSSES[recipe.loss.name]).parameters) - {"arrays", "targets"}
    if not set(recipe.loss.options) <= options:
        raise RecipeError(
            f"loss.options: got {sorted(recipe.loss.options)}, '{recipe.loss.name}' takes {sorted(options)}"
        )
    augmentation(recipe)
    try:
        codec = codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)})
    except VitruvianError as error:
        raise RecipeError(f"codec: {error}") from error
    if not recipe.loss.name.startswith(codec.kind):
        raise RecipeError(f"loss '{recipe.loss.name}' is not for a codec of kind '{codec.kind}'")
    if recipe.input.progressive and codec.kind == "simcc":
        raise RecipeError("input.progressive: SimCC's linear layers fit one input size only; use a heatmap codec")
    if recipe.adversarial is not None:
        _check_adversarial(recipe, codec)
    for width, height in [recipe.input.size_wh, *((w, h) for _, w, h in recipe.input.progressive)]:
        if width % 32 or height % 32:
            raise RecipeError(
                f"input sizes must be multiples of 32 (the networks' coarsest stride), got {width}x{height}"
            )
    try:
        with torch.device("meta"):
            build_model(recipe.model.name, len(get_skeleton(recipe.skeleton)), codec, **recipe.model.options)
    except VitruvianError as error:
        raise RecipeError(f"model: {error}") from error
    if recipe.loss.name == "heatmap_focal" and recipe.model.options.get("head") != "sigmoid":
        raise RecipeError("loss 'heatmap_focal' needs maps between 0 and 1: an hourglass with head: sigmoid")


def _check_adversarial(recipe: Recipe, codec: Codec) -> None:
    assert recipe.adversarial is not None
    if not isinstance(codec, HeatmapCodec) or codec.activation != "linear":
        raise RecipeError(f"adversarial training needs a heatmap codec of linear maps, got {codec}")
    if recipe.input.progressive:
        raise RecipeError("input.progressive: discriminators are made for one size of maps")
    if recipe.adversarial.mode != "began" and "pose" in recipe.adversarial.judges:
        length_joints(get_skeleton(recipe.skeleton), recipe.adversarial)
    with torch.device("meta"):  # shapes without memory
        try:
            build_judges(recipe.adversarial, len(get_skeleton(recipe.skeleton)), codec)
        except VitruvianError as error:
            raise RecipeError(f"adversarial: {error}") from error


def card_of(recipe: Recipe, dataset: PoseDataset, provenance: dict[str, Any]) -> Card:
    """The card of a model trained by this recipe."""
    return Card(
        name=recipe.name,
        model=recipe.model.name,
        options=dict(recipe.model.options),
        skeleton=dataset.skeleton,
        preprocess=dataset.preprocess,
        codec=codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)}),
        data=sources_of(recipe),
        provenance=provenance,
    )


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
        recipe.dump(folder / "recipe.yaml")
    L.seed_everything(recipe.seed, verbose=False)
    train_loader, val_loader = loaders(recipe, rank)
    dataset = train_loader.dataset
    assert isinstance(dataset, PoseDataset)
    origin = provenance(recipe)
    if recipe.model.init:
        origin["start"] = read_card(find_weights(recipe.model.init)).provenance
    card = card_of(recipe, dataset, origin)
    network = build_model(recipe.model.name, len(card.skeleton), card.codec, **recipe.model.options)
    if recipe.model.init:
        kept = load_into(network, find_weights(recipe.model.init), strict=False)
        if kept:
            print(f"starting from {recipe.model.init}; {len(kept)} entries are new, first {kept[0]}")
    steps_per_epoch = math.ceil(len(train_loader.sampler) / recipe.batch_size)  # type: ignore[arg-type]
    module = _module(recipe, card, network, steps_per_epoch)
    trainer, keeper = _trainer(recipe, folder, card, log_every=min(10, steps_per_epoch))
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
    return LitPose(**parts) if adversarial is None else LitAdversarial(**parts, part=adversarial)


def _quiet() -> None:
    """Silence what Lightning says about itself, so that the progress bar and real warnings are left."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*log directory.*", ".*logs directory.*", ".*does not have many workers.*", ".*LeafSpec.*"):
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


def _trainer(recipe: Recipe, folder: Path, card: Card, log_every: int) -> tuple[L.Trainer, KeepBest]:
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    if recipe.precision == "16" and not torch.cuda.is_available():
        raise RecipeError("precision 16 needs a GPU; on a CPU use bf16 or 32")
    callbacks: list[Callback] = [SetEpoch()]
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
