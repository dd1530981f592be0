"""`Recipe`: everything a training run is, as one flat YAML file checked before anything starts.

Unknown keys are refused, with the nearest known one named; the resolved recipe is saved with the run. Recipes do not
inherit from each other, and no class of the package takes one: `run.py` reads it and calls constructors.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..errors import RecipeError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


def _as_text(value: Any) -> Any:
    """YAML takes 32 for a number."""
    return str(value) if type(value) is int else value


def changed_fields(part: BaseModel) -> list[str]:
    """Fields of a recipe, or of a part of one, that are not as they would be by default.

    Unlike pydantic's ``model_fields_set`` it is the same for a recipe as written and as saved with its run, complete.
    """
    fields = type(part).model_fields.items()
    return [n for n, f in fields if getattr(part, n) != f.get_default(call_default_factory=True)]


def idle_fields(source: DataSource, used: Collection[str]) -> list[str]:
    """Fields of a source that say something and are not among those that count, sorted."""
    # Recipes that were saved with earlier runs say min_joints: 1, which was the default and changed nothing.
    harmless = {"min_joints"} if source.min_joints <= 1 else set()
    return sorted(set(changed_fields(source)) - set(used) - harmless)


class DataSource(_Strict):
    """One annotation file. ``repeat`` counts it several times an epoch; ``fraction`` [a, b) keeps the share of its
    photos whose hashed name falls into that interval, so that a fixed part can be held back by photo; ``group`` names a
    field of the file (``video`` in MPII's) whose values are held back whole. ``min_joints`` and ``min_area_px`` leave
    out people with fewer labelled joints, or a box of no more than that area.
    ``format`` is one of `vitruvian.formats.FORMATS`, ``synthetic`` (drawn people), ``masks`` (a folder of photos and
    one of person masks, see `data.mask_folder`), or ``photos`` (a folder of photos, without any annotation). ``holds``,
    for person detectors, says whom the photos annotate: everybody, one of perhaps several people, or nobody since
    nobody is there. ``complete`` says that every joint in the pictures is labelled, hidden ones too, as in rendered
    ones: the others are outside, which teaches their presence. ``name`` and ``terms`` are for the model's card.
    """

    format: str = "coco"
    path: str = ""
    images: str | None = None
    repeat: int = Field(1, ge=1)
    fraction: tuple[float, float] = (0.0, 1.0)
    group: str | None = None
    min_joints: int = Field(0, ge=0)
    min_area_px: float = Field(0.0, ge=0)
    holds: Literal["everybody", "one", "nobody"] = "everybody"
    complete: bool = False
    options: dict[str, Any] = {}
    name: str = ""
    terms: str = ""


class ModelPart(_Strict):
    """``name`` in `MODELS`; ``init`` is a weight file (safetensors or ONNX) or a shipped model's name to start from;
    ``freeze`` names parts of the network (``stem``, ``stage8.1``) that stay as ``init`` has them.
    """

    name: str
    options: dict[str, Any] = {}
    init: str | None = None
    freeze: tuple[str, ...] = ()


class InputPart(_Strict):
    """Network input; ``progressive`` lists [until_epoch, width, height] for smaller inputs in early epochs; ``mean``
    and ``std`` (of 0..255) are those of `Preprocess`.
    """

    size_wh: tuple[int, int] = (192, 256)
    padding: float = 1.25
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    progressive: tuple[tuple[int, int, int], ...] = ()


class MixingPart(_Strict):
    """Other surroundings of training crops: the shares of `data.mixing.Mixing`, and sources of photos without people
    (``format: photos``) for backgrounds and things.
    """

    background_prob: float = Field(0.0, ge=0, le=1)
    person_prob: float = Field(0.0, ge=0, le=1)
    thing_prob: float = Field(0.0, ge=0, le=1)
    photos: tuple[DataSource, ...] = ()


class LossPart(_Strict):
    """``name`` in `LOSSES` with its options."""

    name: str
    options: dict[str, float] = {}


class OptimPart(_Strict):
    """Optimiser, schedule and averaging. ``milestones`` are epochs at which a ``step`` schedule divides lr by 10;
    epochs in which the network rests (adversarial training's second stage) do not count. ``nesterov`` is sgd's kind of
    momentum, which is 0.9.
    """

    name: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = 0.05
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[int, ...] = ()
    warmup_steps: int = 200
    clip: float = 1.0
    ema: float | None = Field(0.999, gt=0, lt=1)
    nesterov: bool = True


class Stages(_Strict):
    """Epochs of each stage: the generator alone, the discriminators on a frozen generator, both in turns."""

    generator: int = Field(ge=0)
    discriminator: int = Field(ge=0)
    joint: int = Field(ge=1)


class Equilibrium(_Strict):
    """Mode ``began``: k grows by ``lambda_k`` (gamma L_real - L_fake); ``lambda_g`` weighs the generator's part."""

    gamma: float = Field(0.5, gt=0)
    lambda_g: float = Field(1e-4, ge=0)
    lambda_k: float = Field(1e-3, ge=0)


class AdversarialPart(_Strict):
    """Adversarial training on top of the recipe's loss; see `vitruvian.adversarial` for the modes.

    ``judges`` are the discriminators: ``pose`` sees the picture and the maps, weighed ``beta``; ``confidence`` the maps
    alone, weighed ``alpha``. A found joint is right for the first within ``within`` lengths of ``length``, and for the
    second if its map's squared error is at most ``map_error`` of the target map's energy.
    """

    mode: Literal["sane", "paper", "paper_abs", "cooperative", "began"] = "sane"
    judges: tuple[Literal["pose", "confidence"], ...] = ("pose", "confidence")
    architecture: Literal["fc", "encoder_decoder"] = "encoder_decoder"
    width: int = Field(128, ge=2)
    alpha: float = Field(1 / 220, ge=0)
    beta: float = Field(1 / 180, ge=0)
    lr: float = Field(2.5e-4, gt=0)
    length: Literal["head_segment", "torso"] = "head_segment"
    within: float = Field(0.5, gt=0)
    map_error: float = Field(0.5, gt=0)
    stages: Stages
    began: Equilibrium = Field(default_factory=lambda: Equilibrium.model_validate({}))

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> AdversarialPart:
        idle = {"began"}
        if self.mode == "began":
            idle = {"judges", "architecture", "alpha", "beta", "length", "within", "map_error"}
        elif "pose" not in self.judges:
            idle |= {"beta", "length", "within"}
        elif "confidence" not in self.judges:
            idle |= {"alpha", "map_error"}
        defaults = AdversarialPart.model_construct(stages=self.stages)
        changed = sorted(k for k in idle & self.model_fields_set if getattr(self, k) != getattr(defaults, k))
        if changed:
            raise ValueError(
                f"{', '.join(changed)} would change nothing with mode '{self.mode}' and judges {list(self.judges)}"
            )
        return self


class LiftingPart(_Strict):
    """Training a lifter on motion capture (``training/lifting.py``). Patterns name takes (``cc_006_*``): those of
    ``val_takes`` choose the best epoch, those of ``test_takes`` (sets by name) are never seen; the others are trained
    on. ``views`` are changes to `lifting_data.Views`.
    """

    val_takes: tuple[str, ...] = Field(min_length=1)
    test_takes: dict[str, tuple[str, ...]] = {}
    views: dict[str, Any] = {}


class GridPart(_Strict):
    """System 4's training in two stages (``training/grid_stages.py``): the grid task for ``epochs`` with ``optim``,
    then 3D poses as the rest of the recipe says, beginning with the layers that ``transfer`` names. ``init`` takes the
    grid task's weights from an earlier run instead. ``targets`` are fields of `GridCodec`, ``crop`` of `SquareCrop`;
    ``mirror_prob`` mirrors that share of the pictures, in both stages. ``test`` is measured once, at the end.
    """

    transfer: Literal["none", "conv", "conv+fc"] = "conv"
    epochs: int = Field(0, ge=0)
    optim: OptimPart = Field(default_factory=lambda: OptimPart.model_validate({}))
    init: str | None = None
    targets: dict[str, Any] = {}
    crop: dict[str, Any] = {}
    mirror_prob: float = Field(0.0, ge=0, le=1)
    test: tuple[DataSource, ...] = ()

    @model_validator(mode="after")
    def _transfers_what_is_learned(self) -> GridPart:
        if self.epochs and self.init is not None:
            raise ValueError("epochs trains the grid task and init takes it from a run; give one of them")
        if (self.transfer != "none") != bool(self.epochs or self.init is not None):
            raise ValueError(
                f"transfer '{self.transfer}' does not fit epochs {self.epochs} and init {self.init}: 'none' is for "
                "training without the grid task, the others need it"
            )
        return self


class DistilPart(_Strict):
    """Learning from a teacher's maps (``training/distil.py``): ``teacher`` is a shipped model's name, a weight file or
    a run's folder; ``weight`` its share of the loss; ``flip`` averages its maps with those of the mirrored crop.
    """

    teacher: str
    weight: float = Field(0.5, gt=0, le=1)
    flip: bool = True


class Recipe(_Strict):
    """A training run. See ``docs/training.md`` for every key and ``recipes/`` for complete examples.

    ``views_per_epoch`` makes an epoch of that many people, drawn anew each time, instead of all. ``stop_after`` ends
    the run after that many of its ``epochs``, on the schedule of all of them. ``augment`` names a preset instead of
    ``geometry`` and ``photometry``; ``scenes`` are the amounts of a person detector's `SceneMix`, ``mixing``
    changes what surrounds people in crops, ``distil`` adds a teacher. ``augment_on: device`` makes crops where the
    network is (`training/on_device`), which keeps a GPU busy. ``cache_gb`` is the memory for decoded photos.
    ``keep_epochs`` keeps the weights of every validated epoch, ``pictures`` draws so many people at each validation.
    ``whole_pictures`` trains on pictures of one person as they are, in batches of one size, instead of on crops.
    """

    name: str
    skeleton: str = "vitruvian19"
    model: ModelPart
    input: InputPart = InputPart()
    codec: dict[str, Any] = {"kind": "heatmap"}
    loss: LossPart
    train: tuple[DataSource, ...]
    val: tuple[DataSource, ...] = ()
    whole_pictures: bool = False
    augment: str | None = None
    augment_on: Literal["cpu", "device"] = "cpu"
    geometry: dict[str, float] = {}
    photometry: dict[str, float] = {}
    scenes: dict[str, Any] = {}
    mixing: MixingPart | None = None
    distil: DistilPart | None = None
    adversarial: AdversarialPart | None = None
    lifting: LiftingPart | None = None
    grid: GridPart | None = None
    optim: OptimPart = Field(default_factory=lambda: OptimPart.model_validate({}))
    epochs: int = Field(ge=1)
    views_per_epoch: int | None = Field(None, ge=1)
    stop_after: int | None = Field(None, ge=1)
    batch_size: int = Field(32, ge=1)
    val_every: int = Field(1, ge=1)
    keep_epochs: bool = False
    pictures: int = Field(0, ge=0)
    workers: int = Field(1, ge=0)
    cache_gb: float = Field(8.0, ge=0)
    precision: Annotated[Literal["32", "bf16", "16"], BeforeValidator(_as_text)] = "bf16"
    devices: int = Field(1, ge=1)
    seed: int = 0
    out: str = "runs"
    expect: dict[str, Any] = {}

    @model_validator(mode="after")
    def _steps_ascend(self) -> Recipe:
        until = [step[0] for step in self.input.progressive]
        if until != sorted(until):
            raise ValueError(f"input.progressive must be in ascending order of epochs, got {until}")
        return self

    @model_validator(mode="after")
    def _one_augmentation(self) -> Recipe:
        if self.augment is not None and (self.geometry or self.photometry):
            raise ValueError("augment names a preset of geometry and photometry; give either it or these")
        return self

    @model_validator(mode="after")
    def _views_are_of_crops(self) -> Recipe:
        if self.views_per_epoch is not None and (self.whole_pictures or self.grid or self.lifting):
            raise ValueError("views_per_epoch is for crops of people, not for whole_pictures, grid or lifting")
        return self

    @model_validator(mode="after")
    def _stages_fill_the_epochs(self) -> Recipe:
        if self.adversarial is not None:
            stages = self.adversarial.stages
            total = stages.generator + stages.discriminator + stages.joint
            if total != self.epochs:
                raise ValueError(f"the stages have {total} epochs in all, 'epochs' says {self.epochs}")
            if self.adversarial.mode != "began" and not self.adversarial.judges:
                raise ValueError("adversarial.judges names no discriminator; expected pose, confidence or both")
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: list[str] | None = None) -> Recipe:
        """Read a YAML file and apply ``key=value`` overrides (dotted keys, YAML values: ``optim.lr=1e-4``).

        Raises
        ------
        RecipeError
            No such file, malformed YAML, an unknown key (the nearest known one is named) or a value of a wrong kind.
        """
        path = Path(path)
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RecipeError(
                f"no recipe at {path}; `vitruvian train --list` shows the ones that come along"
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path} is not YAML: {error}") from error
        if not isinstance(data, dict):
            raise RecipeError(f"{path}: expected keys and values, got {type(data).__name__}")
        for override in overrides or []:
            _apply(data, override)
        return cls.check(data, " ".join([str(path), *(f"--set {override}" for override in overrides or [])]))

    @classmethod
    def check(cls, data: dict, where: str = "recipe") -> Recipe:
        """Validate plain data; `RecipeError` with one line a problem."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [_explain(problem) for problem in error.errors()]
            raise RecipeError(f"{where}:\n  " + "\n  ".join(lines)) from error

    def dump(self, path: Path) -> None:
        """Write the resolved recipe as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def _apply(data: dict, override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"an override is written key=value (e.g. optim.lr=1e-4), got '{override}'")
    *parents, last = key.split(".")
    node: Any = data
    for part in parents:
        node = _entry(node, part, override) if isinstance(node, list) else node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise RecipeError(f"override '{override}': '{part}' holds a value, not further keys")
    parsed = yaml.safe_load(value)
    if isinstance(parsed, str):  # YAML 1.1 takes 1e-4 for text, for want of a decimal point
        with contextlib.suppress(ValueError):
            parsed = float(parsed)
    if isinstance(node, list):
        _entry(node, last, override)
        node[int(last)] = parsed
    else:
        node[last] = parsed


def _entry(items: list, part: str, override: str) -> Any:
    if not part.isdigit() or int(part) >= len(items):
        raise RecipeError(f"override '{override}': '{part}' is not an index of a list of {len(items)} entries")
    return items[int(part)]


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}, got {problem['input']!r}"
    model: Any = Recipe
    for part in problem["loc"][:-1]:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
    known = list(getattr(model, "model_fields", {}))
    nearest = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; known: {', '.join(known)}"
    return f"{where}: unknown key{hint}"
