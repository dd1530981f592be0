"""Loaders of whole pictures, each in its own size, as system 0 trains: see `data.whole_pictures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.progress import track
from torch.utils.data import DataLoader

from ..codecs import Codec
from ..data.whole_pictures import WholePictures, same_size_batches
from ..models import side_multiple
from ..skeletons import get_skeleton
from ..transforms import Geometry, Photometry
from .recipe import DataSource, Recipe
from .sampling import SameSizeBatches
from .sources import gather


def teaches(codec: Codec) -> str:
    """What a picture's person must have for the heads of a codec: a joint, a mask, or both."""
    heads = set(getattr(codec, "heads", ()))
    return "mask" if heads == {"mask"} else "both" if "mask" in heads else "joint"


def picture_loader(
    recipe: Recipe,
    sources: Sequence[DataSource],
    codec: Codec,
    augmentation: tuple[Geometry | None, Photometry | None],
    rank: int | None = None,
    **options: Any,
) -> DataLoader:
    """Batches of pictures of one size.

    Parameters
    ----------
    sources : of the pictures.
    codec : decides who takes part.
    augmentation : of the pictures.
    rank : which of the recipe's devices it is; None for validation: each picture once, in order.
    options : of the loader, other than its batches.
    """
    records, repeats = gather(sources)
    data = WholePictures(
        records,
        get_skeleton(recipe.skeleton),
        *augmentation,
        multiple=side_multiple(recipe.model.name, **recipe.model.options),
        seed=recipe.seed,
        teaches=teaches(codec),
        cache_bytes=int(recipe.cache_gb * 2**30),
    )
    saying = "decoding validation pictures" if rank is None else "decoding pictures"
    data.preload(lambda items: track(items, saying))
    sizes_wh = [data.size_wh(i) for i in range(len(data))]
    batches: Any
    if rank is None:
        batches = same_size_batches(sizes_wh, recipe.batch_size)
    else:
        often = {id(record): count for record, count in zip(records, repeats, strict=True)}
        counts = np.array([often[id(record)] for record in data.records])
        batches = SameSizeBatches(sizes_wh, counts, recipe.batch_size, recipe.seed, rank, recipe.devices)
    return DataLoader(data, batch_sampler=batches, **options)  # type: ignore[arg-type]
