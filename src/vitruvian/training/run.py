"""`train`: from a recipe to a trained model on disk."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from rich.progress import track
from torch.utils.data import DataLoader

from ..codecs import BoxesCodec, Codec, HeatmapCodec, PixelsCodec, codec_from_dict
from ..data import PoseDataset, SizeSchedule
from ..data.mixing import Mixing
from ..data.people_scenes import FILL, PeopleScenes, SceneMix, collate
from ..data.whole_pictures import WholePictures
from ..errors import RecipeError, VitruvianError
from ..losses import LOSSES
from ..models import build_model, side_multiple
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
from .distil import LitDistilled, load_teacher
from .grid_stages import GRID_WEIGHTS, STAGE_FOLDER, check_grid, train_grid
from .lifting import check_lifting, train_lifter
from .memory import keep_memory
from .module import LitPose
from .people import LitDetector
from .pictures import Pictures
from .recipe import DataSource, Recipe
from .sampling import EpochSampler
from .sources import gather, load_records
from .whole import picture_loader


def build_dataset(recipe: Recipe, sources: Sequence[DataSource], training: bool) -> tuple[PoseDataset, np.ndarray]:
    """The data set of several sources and how often each of its people comes in an epoch."""
    records, repeats = gather(sources)
    preprocess = _preprocess_of(recipe)
    sizes = SizeSchedule(preprocess.size_wh, tuple((until, (w, h)) for until, w, h in recipe.input.progressive))
    geometry, photometry = augmentation(recipe) if training else (None, None)
    mixing, photos = None, []
    if training and recipe.mixing is not None:
        mixing = Mixing(**recipe.mixing.model_dump(exclude={"photos"}))
        photos = gather(recipe.mixing.photos)[0]
    dataset = PoseDataset(
        records,
        get_skeleton(recipe.skeleton),
        preprocess,
        geometry,
        photometry,
        sizes,
        recipe.seed,
        cache_bytes=int(recipe.cache_gb * 2**30),
        teaches=teaches(_codec_of(recipe)),
        mixing=mixing,
        photos=photos,
    )
    return dataset, np.array([repeats[record_index] for record_index, _ in dataset.people])


def build_scenes(recipe: Recipe, sources: Sequence[DataSource], training: bool) -> tuple[PeopleScenes, np.ndarray]:
    """Scenes for a person detector, of several sources, and how often each of their photos comes in an epoch."""
    records: list[Record] = []
    repeats: list[int] = []
    holds: list[str] = []
    for source in sources:
        found = load_records(source)
        records += found
        repeats += [source.repeat] * len(found)
        holds += [source.holds] * len(found)
    preprocess = replace(_preprocess_of(recipe), fill=FILL)
    mix, photometry = (SceneMix(**recipe.scenes), augmentation(recipe)[1]) if training else (None, None)
    room = int(recipe.cache_gb * 2**30)
    scenes = PeopleScenes(records, holds, preprocess, repeats, mix, photometry, recipe.seed, cache_bytes=room)
    return scenes, np.array(repeats)


def _preprocess_of(recipe: Recipe) -> Preprocess:
    part = recipe.input
    return Preprocess(size_wh=part.size_wh, padding=part.padding, mean=part.mean, std=part.std)


def _codec_of(recipe: Recipe) -> Codec:
    return codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)})


def teaches(codec: Codec) -> str:
    """Who can teach a network with this codec, as `PoseDataset` has it: people with a joint, a mask, or either."""
    heads = set(codec.heads) if isinstance(codec, PixelsCodec) else set()
    return "mask" if heads == {"mask"} else "either" if "mask" in heads else "joint"


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
    if recipe.whole_pictures:
        return _picture_loaders(recipe, rank, persistent)
    common: dict[str, Any] = {"batch_size": recipe.batch_size, "num_workers": recipe.workers}
    build: Any = build_dataset
    if recipe.codec.get("kind") == BoxesCodec.kind:
        build, common["collate_fn"] = build_scenes, collate
    if recipe.workers:
        common |= {"persistent_workers": persistent, "prefetch_factor": 4}
    dataset, repeats = build(recipe, recipe.train, training=True)
    dataset.preload(lambda items: track(items, "decoding photos"))
    sampler = EpochSampler(repeats, recipe.seed, recipe.batch_size, rank, recipe.devices, recipe.views_per_epoch)
    train = DataLoader(
        dataset,  # type: ignore[arg-type]
        sampler=sampler,
        drop_last=False,
        **common,
    )
    if not recipe.val:
        return train, None
    held_back, _ = build(recipe, recipe.val, training=False)
    held_back.preload(lambda items: track(items, "decoding validation photos"))
    return train, DataLoader(
        held_back,  # type: ignore[arg-type]
        **(common | {"num_workers": 0, "persistent_workers": False, "prefetch_factor": None}),
    )


def _picture_loaders(recipe: Recipe, rank: int, persistent: bool) -> tuple[DataLoader, DataLoader | None]:
    codec = _codec_of(recipe)
    workers: dict[str, Any] = {"num_workers": recipe.workers}
    if recipe.workers:
        workers |= {"persistent_workers": persistent, "prefetch_factor": 4}
    train = picture_loader(recipe, recipe.train, codec, augmentation(recipe), rank, **workers)
    return train, picture_loader(recipe, recipe.val, codec, (None, None)) if recipe.val else None


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
    if recipe.lifting is not None:
        check_lifting(recipe)
        return
    if recipe.grid is not None:
        check_grid(recipe)
        return
    if recipe.loss.name not in LOSSES:
        raise RecipeError(f"loss.name: unknown loss '{recipe.loss.name}'; known: {', '.join(sorted(LOSSES))}")
    options = set(inspect.signature(LOSSES[recipe.loss.name]).parameters) - {"arrays", "targets"}
    if not set(recipe.loss.options) <= options:
        raise RecipeError(
            f"loss.options: got {sorted(recipe.loss.options)}, '{recipe.loss.name}' takes {sorted(options)}"
        )
    augmentation(recipe)
    try:
        codec = _codec_of(recipe)
    except VitruvianError as error:
        raise RecipeError(f"codec: {error}") from error
    if not recipe.loss.name.startswith(codec.kind):
        raise RecipeError(f"loss '{recipe.loss.name}' is not for a codec of kind '{codec.kind}'")
    if recipe.input.progressive and codec.kind == "simcc":
        raise RecipeError("input.progressive: SimCC's linear layers fit one input size only; use a heatmap codec")
    if recipe.adversarial is not None:
        _check_adversarial(recipe, codec)
    _check_scenes(recipe, codec)
    _check_mixing(recipe, codec)
    _check_distil(recipe, codec)
    _check_pictures(recipe, codec)
    try:
        unit = side_multiple(recipe.model.name, **recipe.model.options)
    except TypeError as error:
        raise RecipeError(f"model: {error}") from error
    for width, height in [recipe.input.size_wh, *((w, h) for _, w, h in recipe.input.progressive)]:
        if width % unit or height % unit:
            raise RecipeError(
                f"input sizes must be multiples of {unit} (the network's coarsest stride), got {width}x{height}"
            )
    try:
        with torch.device("meta"):
            build_model(recipe.model.name, len(get_skeleton(recipe.skeleton)), codec, **recipe.model.options)
    except VitruvianError as error:
        raise RecipeError(f"model: {error}") from error
    if recipe.loss.name == "heatmap_focal" and recipe.model.options.get("head") != "sigmoid":
        raise RecipeError("loss 'heatmap_focal' needs maps between 0 and 1: an hourglass with head: sigmoid")


def _check_pictures(recipe: Recipe, codec: Codec) -> None:
    if recipe.whole_pictures and (codec.kind == "simcc" or recipe.input.progressive or recipe.adversarial is not None):
        raise RecipeError(
            "whole_pictures: pictures come in their own sizes, which SimCC, input.progressive and adversarial training "
            "do not allow"
        )
    if recipe.pictures and (recipe.whole_pictures or not codec.finds_joints):
        raise RecipeError(
            "pictures: draws the joints found in crops; use 0 with whole_pictures or a codec without joints"
        )


def _check_mixing(recipe: Recipe, codec: Codec) -> None:
    if recipe.mixing is not None and (recipe.whole_pictures or recipe.grid or recipe.lifting or codec.kind == "boxes"):
        raise RecipeError("mixing: changes crops of people, which this recipe does not train on")


def _check_distil(recipe: Recipe, codec: Codec) -> None:
    if recipe.distil is None:
        return
    others = {"adversarial": recipe.adversarial, "grid": recipe.grid, "lifting": recipe.lifting}
    others["whole_pictures"] = recipe.whole_pictures or None
    beside = [name for name, part in others.items() if part is not None]
    if beside:
        raise RecipeError(f"distil: a teacher of crops of people does not go with {', '.join(beside)}")
    load_teacher(recipe.distil, codec, get_skeleton(recipe.skeleton), _preprocess_of(recipe))


def _check_scenes(recipe: Recipe, codec: Codec) -> None:
    """Person detectors learn from scenes, others from crops of people; each has amounts of its own."""
    if codec.kind != BoxesCodec.kind:
        if recipe.scenes:
            raise RecipeError("scenes: only person detectors (codec kind 'boxes') learn from scenes")
        return
    idle = {"augment": recipe.augment, "geometry": recipe.geometry, "pictures": recipe.pictures}
    idle["input.progressive"] = recipe.input.progressive
    used = [name for name, value in idle.items() if value]
    if used:
        raise RecipeError(f"{', '.join(used)}: would change nothing for a person detector; see scenes and photometry")
    try:
        SceneMix(**recipe.scenes)
    except (TypeError, VitruvianError) as error:
        raise RecipeError(f"recipe '{recipe.name}', scenes: {error}") from error


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


def card_of(recipe: Recipe, dataset: PoseDataset | PeopleScenes | WholePictures, provenance: dict[str, Any]) -> Card:
    """The card of a model trained by this recipe."""
    return Card(
        name=recipe.name,
        model=recipe.model.name,
        options=dict(recipe.model.options),
        skeleton=dataset.skeleton,
        preprocess=_preprocess_of(recipe) if isinstance(dataset, WholePictures) else dataset.preprocess,
        codec=_codec_of(recipe),
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
    steps_per_epoch = len(train_loader)
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
    if isinstance(card.codec, BoxesCodec):
        return LitDetector(**parts)
    if recipe.distil is not None:
        teacher = load_teacher(recipe.distil, card.codec, card.skeleton, card.preprocess)
        return LitDistilled(**parts, teacher=teacher, part=recipe.distil)
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


def _trainer(recipe: Recipe, folder: Path, card: Card, log_every: int) -> tuple[L.Trainer, KeepBest]:
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    if recipe.precision == "16" and not torch.cuda.is_available():
        raise RecipeError("precision 16 needs a GPU; on a CPU use bf16 or 32")
    callbacks: list[Callback] = [SetEpoch(recipe.seed)]
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
