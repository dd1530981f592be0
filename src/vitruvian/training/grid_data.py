"""Frames in 3D for the grid task and 3D poses: from the sources of a recipe to loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.progress import track
from torch.utils.data import DataLoader

from ..data.h36m import READERS
from ..data.h36m.splits import leak, take_part
from ..data.poses3d import Frames3D, concatenate, read_poses3d
from ..data.square_crop import SquareCrop
from ..data.square_poses import SquarePoses
from ..errors import RecipeError, VitruvianError
from ..skeletons import get_skeleton
from .build import worker_options
from .recipe import DataSource, Recipe, idle_fields
from .sampling import EpochSampler

FORMATS3D = ("poses3d", "mocap_figures", "synth_people", *READERS)
"""What the sources of a recipe with a part ``grid`` can be: a table of frames (`data.poses3d`), drawn people in
captured poses (`synth.mocap`), a folder of ``vitruvian synth``, and Human3.6M in the layouts of `data.h36m`."""

_OPTIONS = ("subjects", "actions", "every", "split", "part")
"""Options of every source; what else is among them goes to the reader."""

_SINGLE = {"mocap_figures": "count", "synth_people": "pictures"}
"""Formats whose frames do not follow each other, so that there is no n-th of them, and what takes fewer instead."""


def check_source(source: DataSource) -> None:
    """`RecipeError` for a field that would change nothing: frames that were held back would be trained on."""
    idle = idle_fields(source, {"format", "path", "images", "repeat", "options", "name", "terms"})
    if idle:
        raise RecipeError(
            f"source '{source.path}': {', '.join(idle)} would change nothing for 3D poses; options 'split' and "
            "'part', or 'subjects', say which frames are held back"
        )


def read_source(source: DataSource) -> Frames3D:
    """The frames of one source in camera axes, chosen by ``subjects``, ``actions``, ``every``, ``split`` with ``part``.

    Raises
    ------
    RecipeError
        An unknown format, options that its reader does not take, ``every`` where each frame is a sequence of its own,
        or a split without a part.
    VitruvianError
        What the reader raises, or no frame left.
    """
    options: dict[str, Any] = dict(source.options)
    if "every" in options and source.format in _SINGLE:
        raise RecipeError(
            f"source '{source.path}': frames of '{source.format}' do not follow each other, so 'every' has no meaning; "
            f"take fewer with '{_SINGLE[source.format]}'"
        )
    # Readers choose subjects and actions by themselves, before they open or draw anything.
    own = () if source.format in ("poses3d", "synth_people") else ("subjects", "actions")
    chosen = {name: options.pop(name) for name in _OPTIONS if name in options and name not in own}
    if source.images is not None:
        options["images"] = source.images
    try:
        if source.format == "poses3d":
            poses = read_poses3d(source.path, **options)
        elif source.format == "mocap_figures":
            from ..synth.mocap import mocap_figures

            poses = mocap_figures(source.path, **options)
        elif source.format == "synth_people":
            from ..synth.humans.frames import read_synth_people

            poses = read_synth_people(source.path, **options)
        elif source.format in READERS:
            poses = READERS[source.format](source.path, **options)
        else:
            raise RecipeError(
                f"source '{source.path}': unknown format '{source.format}'; known: {', '.join(FORMATS3D)}"
            )
    except TypeError as error:
        raise RecipeError(f"source '{source.path}' of format '{source.format}', options: {error}") from error
    poses = poses.filtered(chosen.get("subjects"), chosen.get("actions"), int(chosen.get("every", 1)))
    if "split" in chosen or "part" in chosen:
        if not {"split", "part"} <= set(chosen):
            raise RecipeError(f"source '{source.path}': options 'split' and 'part' belong together, got {chosen}")
        warning = leak(poses, chosen["split"])
        if warning:
            print(f"{source.path}: {warning}")
        poses = take_part(poses, chosen["split"], chosen["part"])
    return poses.to_camera()


def build_poses(recipe: Recipe, sources: Sequence[DataSource], training: bool) -> tuple[SquarePoses, np.ndarray]:
    """The data set of several sources and how often each of its frames comes in an epoch."""
    assert recipe.grid is not None
    parts = [read_source(source) for source in sources]
    poses, skeleton = concatenate(parts), get_skeleton(recipe.skeleton)
    if poses.skeleton.joints != skeleton.joints:
        raise RecipeError(f"skeleton: the data has the joints of {poses.skeleton.name}, the recipe {skeleton.name}")
    bare = sum(mask is None for mask in poses.masks)
    if bare and crop_of(recipe).background == "black":
        raise RecipeError(
            f"grid.crop.background 'black' takes the background away by masks, which {bare} of {len(poses)} frames of "
            f"{', '.join(source.path for source in sources)} do not have: give sources 'masks' among their options, or "
            "set grid.crop.background to keep"
        )
    repeats = np.concatenate([np.full(len(part), s.repeat) for part, s in zip(parts, sources, strict=True)])
    dataset = SquarePoses(
        poses,
        crop_of(recipe),
        recipe.grid.mirror_prob if training else 0.0,
        recipe.seed,
        cache_bytes=int(recipe.cache_gb * 2**30),
    )
    rooted = np.isfinite(poses.joints_mm[:, dataset.root]).all(axis=1)
    return dataset, repeats[rooted]


def crop_of(recipe: Recipe) -> SquareCrop:
    """How the recipe's pictures become inputs; `RecipeError` for fields that there are not."""
    assert recipe.grid is not None
    try:
        return SquareCrop(size_wh=recipe.input.size_wh, **recipe.grid.crop)
    except (TypeError, VitruvianError) as error:
        raise RecipeError(f"grid.crop: {error}") from error


def pose_loaders(recipe: Recipe) -> tuple[DataLoader, DataLoader | None]:
    """Training and validation loaders, pictures made; one pair for both stages."""
    common: dict[str, Any] = {"batch_size": recipe.batch_size}
    dataset, repeats = build_poses(recipe, recipe.train, training=True)
    held_back = build_poses(recipe, recipe.val, training=False)[0] if recipe.val else None
    dataset.preload(lambda items: track(items, "making crops"))
    sampler = EpochSampler(repeats, recipe.seed, recipe.batch_size)
    train = DataLoader(dataset, sampler=sampler, **common, **worker_options(recipe))  # type: ignore[arg-type]
    if held_back is None:
        return train, None
    held_back.preload(lambda items: track(items, "making validation crops"))
    return train, DataLoader(held_back, **common)  # type: ignore[arg-type]
