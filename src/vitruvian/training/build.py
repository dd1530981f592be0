"""What a recipe names, made: codec, preprocessing, augmentation, data sets, loaders, and the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from torch.utils.data import DataLoader

from ..codecs import BoxesCodec, Codec, PixelsCodec, codec_from_dict
from ..data import PoseDataset, SizeSchedule
from ..data.mixing import Mixing
from ..data.people_scenes import FILL, PeopleScenes, SceneMix, collate
from ..data.whole_pictures import WholePictures
from ..errors import RecipeError
from ..preprocess import Preprocess
from ..skeletons import get_skeleton
from ..transforms import PRESETS, Geometry, Photometry, RandomGeometry, RandomPhotometry
from ..types import Record
from ..weights.card import Card
from .on_device import Views
from .recipe import DataSource, Recipe
from .sampling import EpochSampler
from .sources import gather, load_records
from .whole import picture_loader


def build_dataset(recipe: Recipe, sources: Sequence[DataSource], training: bool) -> tuple[PoseDataset, np.ndarray]:
    """The data set of several sources and how often each of its people comes in an epoch."""
    records, repeats = gather(sources)
    preprocess = preprocess_of(recipe)
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
        teaches=teaches(codec_of(recipe)),
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
        found = load_records(source, everybody=True)  # whoever is left out would be background
        records += found
        repeats += [source.repeat] * len(found)
        holds += [source.holds] * len(found)
    preprocess = replace(preprocess_of(recipe), fill=FILL)
    mix, photometry = (SceneMix(**recipe.scenes), augmentation(recipe)[1]) if training else (None, None)
    room = int(recipe.cache_gb * 2**30)
    scenes = PeopleScenes(records, holds, preprocess, repeats, mix, photometry, recipe.seed, cache_bytes=room)
    return scenes, np.array(repeats)


def preprocess_of(recipe: Recipe) -> Preprocess:
    """Of the recipe's ``input``."""
    part = recipe.input
    return Preprocess(size_wh=part.size_wh, padding=part.padding, mean=part.mean, std=part.std)


def codec_of(recipe: Recipe) -> Codec:
    """Of the recipe's ``codec``, for its final size."""
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
    common: dict[str, Any] = {"batch_size": recipe.batch_size}
    build: Any = build_dataset
    if recipe.codec.get("kind") == BoxesCodec.kind:
        build, common["collate_fn"] = build_scenes, collate
    dataset, repeats = build(recipe, recipe.train, training=True)
    dataset.preload(lambda items: track(items, "decoding photos"))
    sampler = EpochSampler(repeats, recipe.seed, recipe.batch_size, rank, recipe.devices, recipe.views_per_epoch)
    if recipe.augment_on == "device":
        dataset = Views(dataset)
    train = DataLoader(dataset, sampler=sampler, **common, **worker_options(recipe, persistent))  # type: ignore[arg-type]
    if not recipe.val:
        return train, None
    held_back, _ = build(recipe, recipe.val, training=False)
    held_back.preload(lambda items: track(items, "decoding validation photos"))
    return train, DataLoader(held_back, **common)  # type: ignore[arg-type]


def worker_options(recipe: Recipe, persistent: bool = True) -> dict[str, Any]:
    """Options of a `DataLoader` for training: the recipe's workers, and four batches each that wait ready."""
    if not recipe.workers:
        return {}
    return {"num_workers": recipe.workers, "persistent_workers": persistent, "prefetch_factor": 4}


def _picture_loaders(recipe: Recipe, rank: int, persistent: bool) -> tuple[DataLoader, DataLoader | None]:
    codec = codec_of(recipe)
    options = worker_options(recipe, persistent)
    train = picture_loader(recipe, recipe.train, codec, augmentation(recipe), rank, **options)
    return train, picture_loader(recipe, recipe.val, codec, (None, None)) if recipe.val else None


def sources_of(recipe: Recipe) -> tuple[dict[str, Any], ...]:
    """What a card says of the training data, photos without people among them."""
    empty = () if recipe.mixing is None else recipe.mixing.photos
    return tuple(
        {
            "name": source.name or Path(source.path).name or source.format,
            "terms": source.terms or "not stated",
            "share_of_photos": list(source.fraction),
            "repeat": source.repeat,
        }
        for source in (*recipe.train, *empty)
    )


def card_of(recipe: Recipe, dataset: PoseDataset | PeopleScenes | WholePictures, provenance: dict[str, Any]) -> Card:
    """The card of a model trained by this recipe."""
    return Card(
        name=recipe.name,
        model=recipe.model.name,
        options=dict(recipe.model.options),
        skeleton=dataset.skeleton,
        preprocess=preprocess_of(recipe) if isinstance(dataset, WholePictures) else dataset.preprocess,
        codec=codec_of(recipe),
        data=sources_of(recipe),
        provenance=provenance,
    )
