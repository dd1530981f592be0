"""`check`: everything that can be known to be wrong with a recipe before photos are decoded."""

from __future__ import annotations

import inspect

import torch

from ..codecs import BoxesCodec, Codec, HeatmapCodec
from ..data.people_scenes import SceneMix
from ..errors import RecipeError, VitruvianError
from ..losses import LOSSES
from ..models import build_model, side_multiple
from ..skeletons import get_skeleton
from .adversarial import build_judges, length_joints
from .build import augmentation, codec_of, preprocess_of
from .distil import check_teacher
from .freeze import check_freeze
from .grid_stages import check_grid
from .lifting import check_lifting
from .on_device.looks import looks_of
from .recipe import Recipe
from .sources import check_sources

_OF_SOFTMAX = "heatmap_cross_entropy"
_OF_CROPS = ("half_body_prob", "cut_prob")
"""Amounts of `RandomGeometry` that choose a part of the person, which whole pictures do not have."""


def check(recipe: Recipe) -> None:
    """Everything that can be known to be wrong before photos are decoded.

    Raises
    ------
    RecipeError
        An unknown loss, or options it does not have; a codec that cannot be built, that the loss is not for, or that
        cannot change its size although the recipe does; sizes the network cannot take.
    """
    _check_device(recipe)
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
        codec = codec_of(recipe)
    except VitruvianError as error:
        raise RecipeError(f"codec: {error}") from error
    if not recipe.loss.name.startswith(codec.kind):
        raise RecipeError(f"loss '{recipe.loss.name}' is not for a codec of kind '{codec.kind}'")
    if isinstance(codec, HeatmapCodec) and (codec.activation == "softmax") != (recipe.loss.name == _OF_SOFTMAX):
        raise RecipeError(
            f"loss '{_OF_SOFTMAX}' belongs to codec.activation softmax, the other losses of heatmaps to linear; got "
            f"'{recipe.loss.name}' and {codec.activation}"
        )
    if recipe.optim.milestones and recipe.optim.schedule != "step":
        raise RecipeError(f"optim.milestones: change nothing on the schedule '{recipe.optim.schedule}'; see step")
    check_sources(recipe)
    taught = recipe.loss.options.get("presence", 0)
    if codec.presence != bool(taught):
        raise RecipeError(
            "codec.presence and loss.options.presence belong together (loss 'heatmap_mse'): the first adds an output, "
            f"the second is the weight of what teaches it; got {codec.presence} and {taught}"
        )
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
            network = build_model(recipe.model.name, len(get_skeleton(recipe.skeleton)), codec, **recipe.model.options)
    except VitruvianError as error:
        raise RecipeError(f"model: {error}") from error
    check_freeze(network, recipe.model)
    if recipe.loss.name == "heatmap_focal" and recipe.model.options.get("head") != "sigmoid":
        raise RecipeError("loss 'heatmap_focal' needs maps between 0 and 1: an hourglass with head: sigmoid")


def _check_pictures(recipe: Recipe, codec: Codec) -> None:
    if recipe.whole_pictures and (codec.kind == "simcc" or recipe.input.progressive or recipe.adversarial is not None):
        raise RecipeError(
            "whole_pictures: pictures come in their own sizes, which SimCC, input.progressive and adversarial training "
            "do not allow"
        )
    idle = [f"geometry.{name}" for name in _OF_CROPS if recipe.whole_pictures and recipe.geometry.get(name)]
    if idle:
        raise RecipeError(f"{', '.join(idle)}: would change nothing with whole_pictures")
    if recipe.pictures and (recipe.whole_pictures or not codec.finds_joints):
        raise RecipeError(
            "pictures: draws the joints found in crops; use 0 with whole_pictures or a codec without joints"
        )


def _check_mixing(recipe: Recipe, codec: Codec) -> None:
    if recipe.mixing is not None and (recipe.whole_pictures or recipe.grid or recipe.lifting or codec.kind == "boxes"):
        raise RecipeError("mixing: changes crops of people, which this recipe does not train on")


def _check_device(recipe: Recipe) -> None:
    if recipe.augment_on != "device":
        return
    others = recipe.lifting is not None or recipe.grid is not None or recipe.whole_pictures
    if others or recipe.codec.get("kind") == BoxesCodec.kind:
        raise RecipeError("augment_on: device makes crops of people, which this recipe does not train on")
    looks_of(augmentation(recipe)[1])


def _check_distil(recipe: Recipe, codec: Codec) -> None:
    if recipe.distil is None:
        return
    others = {"adversarial": recipe.adversarial, "grid": recipe.grid, "lifting": recipe.lifting}
    others["whole_pictures"] = recipe.whole_pictures or None
    beside = [name for name, part in others.items() if part is not None]
    if beside:
        raise RecipeError(f"distil: a teacher of crops of people does not go with {', '.join(beside)}")
    check_teacher(recipe.distil, codec, get_skeleton(recipe.skeleton), preprocess_of(recipe))


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
    if any(source.min_joints > 1 or source.min_area_px for source in (*recipe.train, *recipe.val)):
        raise RecipeError(
            "min_joints, min_area_px: would make background of people, which a detector would learn not to find"
        )
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
