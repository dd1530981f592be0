"""Masks and joints together: system 0's experiments as a table, and its harmonic network against its U-Net.

What the system reported (five-thousand pictures of its own, batches of one, 100 epochs on a GPU) cannot be repeated
here, so every arm is one of its recipes in one common, modern and small setting: crops of 96x96, narrow networks, Adam
with averaged weights, bfloat16. They learn from sports people of LSPET with joints by hand and masks by MediaPipe Pose
(``tools/mediapipe_labels.py`` makes what one of them lacks), street fashion of CCP with masks by hand and joints by
MediaPipe, and COCO people with both by hand; each kind has test people of its own. The harmonic network and the rival
U-Nets learn the mask alone.

The system adds its losses as they are. "Corrected" arms weigh them so that no head drowns the others, learn the mask by
cross-entropy besides, and experiment 3's targets sum to 1. "Equal views" is a U-Net of as many parameters (within a
tenth) on as many pictures; "equal time" the same U-Net trained as long as the harmonic network takes here. Crops are
square so that they can be turned: for the accuracy by angle, test pictures and true masks are turned about their
middle, and what is outside of the inscribed disc is black and does not count, so every angle shows the same part of the
photo. Training turns no picture.

Runs go by seed, the first seed of everything first; what a cut-off benchmark has finished is not run again.
"""

from __future__ import annotations

import csv
import functools
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from vitruvian import train
from vitruvian.codecs import PixelsCodec, codec_from_dict
from vitruvian.data import PoseDataset, dataset
from vitruvian.draw.plots import curves
from vitruvian.geometry import Affine
from vitruvian.metrics.masks import dice, iou, soft_dice
from vitruvian.models import build_model
from vitruvian.predict.backends import Backend, load_backend
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import get_skeleton
from vitruvian.training import Recipe
from vitruvian.training.recipe import DataSource
from vitruvian.training.sources import in_fraction, load_records
from vitruvian.training.validation import validation_pck
from vitruvian.types import Outputs
from vitruvian.weights.checkpoint import read_state

from .common import DATA, RESULTS, alternate, coco_held_back, compared, runs_left, save, spread, unfinished
from .masks import fashion

_ROOT = Path(__file__).resolve().parents[1]
_NAME = "masks_joints"
_PEOPLE = _ROOT / "runs" / "masks" / "lspet-train.json"
_PHOTOS = DATA / "photos" / "lspet" / "train" / "images"
_FASHION = _ROOT / "runs" / "teacher" / "ccp-joints.json"
_MORE = (
    {"path": str(_FASHION), "images": str(DATA / "photos/ccp/train/images"), "repeat": 2},
    {
        "path": str(DATA / "photos/coco/train/person_keypoints_train2017.json"),
        "images": str(DATA / "photos/coco/train/images"),
        "fraction": (0.2, 1.0),  # the others are `coco_held_back`
        "repeat": 8,
    },
)
"""What is trained on besides LSPET."""
_PARTS = {"test": (0.0, 0.08), "val": (0.08, 0.1), "train": (0.1, 1.0)}  # of the photos, by their hashed names
_SIDE, _BATCH, _VIEWS_PER_EPOCH = 96, 8, 400
_EPOCHS, _RIVAL_EPOCHS = 10, 6
_EXPERIMENT_WIDTH, _RIVAL_WIDTH, _STREAMS = 8, 5, 4  # the last two have about 0.2 M parameters each
_SEEDS = (0, 1, 2)
_ANGLES, _TURNED_PEOPLE = tuple(range(0, 360, 10)), 48
_DICE_LEVELS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
_FIGURES = (
    "dice", "soft_dice", "iou", "pck", "heat_mse", "heat_mse_of_zeros", "fashion_dice", "coco_dice",
    "dice_upright", "dice_any_angle", "dice_worst_angle", "minutes",
)  # fmt: skip
_WORK = Path(tempfile.gettempdir()) / "vitruvian-masks-joints"

_SETTING: dict[str, Any] = {
    "skeleton": "lsp14",
    "whole_pictures": False,
    "augment": None,
    "geometry": {"scale": 0.2, "shift": 0.05, "flip_prob": 0.5, "rotation_prob": 0.0, "rotation_deg": 0.0},
    "photometry": {
        "brightness": 0.1, "contrast": 0.2, "colour": 0.1, "gamma": 0.2, "grey_prob": 0.0, "blur_prob": 0.0,
        "jpeg_prob": 0.0, "low_res_prob": 0.0, "noise_prob": 0.0, "erase_prob": 0.0,
    },
    "optim": {"name": "adam", "lr": 0.001, "weight_decay": 0.0, "schedule": "constant", "warmup_steps": 50,
              "clip": 1.0, "ema": 0.98},
    "batch_size": _BATCH,
    "views_per_epoch": _VIEWS_PER_EPOCH,
    "val_every": 1,
    "workers": 1,
    "precision": "bf16",
}  # fmt: skip
"""What all arms change in their recipes."""


@dataclass(frozen=True)
class _Arm:
    """A recipe with other options of its model, codec and loss, for so many epochs."""

    recipe: str
    options: dict[str, Any]
    epochs: int = _EPOCHS
    codec: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    by_angle: bool = False
    """Whether it is measured on turned pictures too."""


_WIDE = {"width": _EXPERIMENT_WIDTH}
_PLAIN = ("unet-mask", "unet-exp1", "unet-exp2", "unet-exp3", "unet-exp4", "unet-heat")
_CORRECTED = {"mask_entropy": 1.0, "heat": 0.01, "classes": 10.0}
_EXPERIMENTS = {
    **{name: _Arm(name, _WIDE) for name in _PLAIN},
    "unet-exp1, corrected": _Arm("unet-exp1", _WIDE, loss=_CORRECTED),
    "unet-exp2, corrected": _Arm("unet-exp2", _WIDE, loss=_CORRECTED),
    "unet-exp3, corrected": _Arm("unet-exp3", _WIDE, codec={"classes": "shares"}, loss=_CORRECTED),
}
_HARMONIC, _UNET = {"streams": [[_STREAMS * 2**i] * 2 for i in range(5)]}, {"width": _RIVAL_WIDTH}
_HARMONIC_ARM, _CONTROL, _LONG = "harmonic", "unet, equal views", "unet, equal time"


def _rivals(unets_in_its_time: float) -> dict[str, _Arm]:
    """``unets_in_its_time``: steps of the U-Net in the time of one of the harmonic network."""
    long = round(_RIVAL_EPOCHS * unets_in_its_time)
    return {
        _HARMONIC_ARM: _Arm("harmonic-mask", _HARMONIC, _RIVAL_EPOCHS, by_angle=True),
        _CONTROL: _Arm("unet-mask", _UNET, _RIVAL_EPOCHS, by_angle=True),
        _LONG: _Arm("unet-mask", _UNET, long, by_angle=True),
    }


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each run, marked unfinished, and plotted."""
    dataset.read_image = functools.cache(dataset.read_image)  # all runs see the same photos
    setting = {
        "data": "trained on LSPET, CCP and COCO; Dice, PCK, heat on LSPET people held back (masks by MediaPipe Pose)",
        "input_wh": [_SIDE, _SIDE],
        "views": {"experiments": _EPOCHS * _VIEWS_PER_EPOCH, "rivals": _RIVAL_EPOCHS * _VIEWS_PER_EPOCH},
        "people_by_angle": _TURNED_PEOPLE,
    }
    before = unfinished(_NAME, setting)
    cost = before.get("cost") or _cost()
    done: list[dict[str, Any]] = before.get("runs", [])
    people = _people()
    test = _test_sets(people)
    rivals = _rivals(cost["harmonic_over_unet"])
    arms = {**_EXPERIMENTS, **rivals}
    later = [(seed, name) for group in (rivals, _EXPERIMENTS) for seed in _SEEDS[1:] for name in group]
    result = lambda: {**setting, "cost": cost, **_tables(done, rivals, cost), "runs": done}  # noqa: E731
    measure = lambda seed, name: _measured(_recipe(arms[name], seed, people), arms[name], test)  # noqa: E731
    for _ in runs_left(done, [*((_SEEDS[0], name) for name in arms), *later], measure):
        save(_NAME, {"finished": False, **result()})
        _plot(done, rivals, cost)
    shutil.rmtree(_WORK)
    return {"finished": True, **result()}


# ---------------------------------------------------------------------------------------------- data
def _people() -> dict[str, Path]:
    """The people of LSPET who have a mask, in an annotation file for each part."""
    for file in (_PEOPLE, _FASHION):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is not there; recipes/vitruvian-mask-1.yaml and vitruvian-s-4.yaml say how to make it"
            )
    found = json.loads(_PEOPLE.read_text(encoding="utf-8"))
    people = {person["image_id"]: person for person in found["annotations"] if person.get("segmentation")}
    _WORK.mkdir(exist_ok=True)
    files = {}
    for part, fraction in _PARTS.items():
        images = [i for i in found["images"] if i["id"] in people and in_fraction(i["file_name"], fraction)]
        files[part] = _WORK / f"{part}.json"
        annotations = [people[image["id"]] for image in images]
        files[part].write_text(json.dumps({**found, "images": images, "annotations": annotations}), encoding="utf-8")
    return files


def _source(people: dict[str, Path], part: str) -> dict[str, str]:
    return {"path": str(people[part]), "images": str(_PHOTOS)}


def _recipe(arm: _Arm, seed: int, people: dict[str, Path]) -> Recipe:
    data = yaml.safe_load((_ROOT / "recipes" / f"{arm.recipe}.yaml").read_text(encoding="utf-8"))
    changes = {
        **_SETTING,
        "model": {**data["model"], "options": arm.options},
        "input": {**data["input"], "size_wh": (_SIDE, _SIDE)},
        "codec": {**data["codec"], **arm.codec},
        "loss": {**data["loss"], "options": {**data["loss"]["options"], **arm.loss}},
        "epochs": arm.epochs,
        "seed": seed,
        "train": [_source(people, "train"), *_MORE],
        "val": [_source(people, "val")],
    }
    return Recipe.check({**data, **changes})


@dataclass(frozen=True)
class _Turned:
    """A geometry of one angle, about the middle of the crop."""

    degrees: float

    def pick_box(self, rng: Any, box_xyxy: np.ndarray, keypoints_px: np.ndarray, skeleton: Any) -> np.ndarray:
        return box_xyxy

    def cut(self, rng: Any, box_xyxy: np.ndarray) -> None:
        return None

    def sample(self, rng: Any, size_wh: tuple[int, int]) -> tuple[Affine, bool]:
        return Affine.rotate(self.degrees, ((size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2)), False


@dataclass(frozen=True)
class _TestSets:
    """Crops that no training sees: ``people`` with all that is known of them, and pictures with masks alone."""

    people: PoseDataset
    batch: dict[str, np.ndarray]
    masked: dict[str, tuple[np.ndarray, np.ndarray]]
    by_angle: dict[int, tuple[np.ndarray, np.ndarray]]


def _test_sets(people: dict[str, Path]) -> _TestSets:
    recipe = _recipe(next(iter(_EXPERIMENTS.values())), 0, people)  # crops are the same for all
    preprocess = Preprocess(size_wh=recipe.input.size_wh, padding=recipe.input.padding)
    crops_of = functools.partial(PoseDataset, skeleton=get_skeleton(recipe.skeleton), preprocess=preprocess)
    records = load_records(DataSource.model_validate(_source(people, "test")))
    others = {
        "fashion": fashion(),
        "coco": coco_held_back(keep_unlabelled=True),
    }
    masked = {}
    for name, found in others.items():
        crops = crops_of(found, teaches="mask")
        stacked = _stacked(crops, len(crops))
        masked[name] = stacked["image"], stacked["mask"]
    held_back = crops_of(records, teaches="either")
    by_angle, disc = {}, _disc()
    for angle in _ANGLES:
        # Upright crops are resampled in another way (`transforms.warp`); a trifle more makes them like the others.
        turned = _stacked(crops_of(records, geometry=_Turned(angle + 1e-3), teaches="either"), _TURNED_PEOPLE)
        by_angle[angle] = turned["image"] * disc[..., None], turned["mask"] * disc
    return _TestSets(held_back, _stacked(held_back, len(held_back)), masked, by_angle)


def _disc() -> np.ndarray:
    """(h, w) bool: the largest disc in a crop."""
    y, x = np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2
    return np.hypot(x, y) <= _SIDE / 2


def _stacked(data: PoseDataset, count: int) -> dict[str, np.ndarray]:
    items = [data[i] for i in range(min(count, len(data)))]
    return {key: np.stack([item[key] for item in items]) for key in items[0]}


# ---------------------------------------------------------------------------------------------- measuring
def _cost() -> dict[str, Any]:
    """Milliseconds a picture of a training step of both rivals, in turns, and the ratio."""
    codec = codec_from_dict({"kind": "pixels", "size_wh": [_SIDE, _SIDE], "heads": ["mask"]})
    images = torch.randn(_BATCH, 3, _SIDE, _SIDE).contiguous(memory_format=torch.channels_last)
    networks: dict[str, Any] = {
        "harmonic": build_model("harmonic", 1, codec, **_HARMONIC),
        "unet": build_model("unet", 1, codec, **_UNET),
    }

    def step(network: torch.nn.Module) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(images)["mask"].float().square().mean()
        loss.backward()

    tasks = {
        name: functools.partial(step, network.to(memory_format=torch.channels_last))
        for name, network in networks.items()
    }
    times = {name: ms / _BATCH for name, ms in alternate(tasks, repeats=5).items()}
    return {
        "training_ms_per_picture": {name: round(ms, 2) for name, ms in times.items()},
        "harmonic_over_unet": round(times["harmonic"] / times["unet"], 2),
    }


def _measured(recipe: Recipe, arm: _Arm, test: _TestSets) -> dict[str, Any]:
    """Train; the validation curve, and the last weights' figures on people that no training sees."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder = train(recipe.model_copy(update={"out": folder}))
        with open(run_folder / "metrics.csv", encoding="utf-8", newline="") as file:
            curve = [round(float(row["val_dice"]), 4) for row in csv.DictReader(file) if row.get("val_dice")]
        weights = run_folder / "last.safetensors"
        network = load_backend(weights, threads=torch.get_num_threads())
        found: dict[str, Any] = {"views": recipe.epochs * _VIEWS_PER_EPOCH, "parameters": _parameters(weights)}
        found |= _figures(network, test)
        if curve:
            found |= {"val_dice": curve, **{f"{name}_dice": _dice(network, *test.masked[name]) for name in test.masked}}
        if arm.by_angle:
            every = [_dice(network, crops, masks, _disc()) for crops, masks in test.by_angle.values()]
            found |= {"dice_upright": every[0], "dice_any_angle": round(statistics.fmean(every), 4)}
            found |= {"dice_worst_angle": min(every), "dice_by_angle": every}
        network.close()
    return found


def _figures(network: Backend, test: _TestSets) -> dict[str, float]:
    """Those that the network's heads allow."""
    codec, batch = _codec(network), test.batch
    found: dict[str, Any] = {}
    outputs = _outputs(network, batch["image"])
    if "mask" in codec.heads:
        share, truth = codec.mask(outputs), batch["mask"]
        found = {"dice": dice(share, truth), "soft_dice": soft_dice(share, truth), "iou": iou(share, truth)}
    if "heat" in codec.heads:
        joints = zip(_in_parts(batch["keypoints_px"]), _in_parts(batch["visibility"]), strict=True)
        heat = np.concatenate([codec.encode(*part).arrays["heat"] for part in joints])
        found |= {"heat_mse": np.square(outputs.arrays["heat"] - heat), "heat_mse_of_zeros": np.square(heat)}
    if codec.finds_joints:
        keypoints, _ = codec.decode(outputs)
        to_photo = [Affine(matrix).inverse() for matrix in batch["frame_to_input"]]
        in_photo = np.stack([change.apply(points) for change, points in zip(to_photo, keypoints, strict=True)])
        found["pck"] = np.array(validation_pck(test.people, batch["index"], in_photo))
    return {name: round(float(values.mean()), 4) for name, values in found.items()}


def _dice(network: Backend, crops: np.ndarray, masks: np.ndarray, field: np.ndarray | float = 1.0) -> float:
    """Mean hard Dice, of the pixels of a field."""
    return round(float(dice(_codec(network).mask(_outputs(network, crops)) * field, masks).mean()), 4)


def _codec(network: Backend) -> PixelsCodec:
    codec = network.card.codec
    assert isinstance(codec, PixelsCodec)
    return codec


def _outputs(network: Backend, crops: np.ndarray) -> Outputs:
    parts = [network.run(part).arrays for part in _in_parts(crops)]
    return Outputs({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _in_parts(array: np.ndarray, size: int = 32) -> list[np.ndarray]:
    return [array[i : i + size] for i in range(0, len(array), size)]


def _parameters(weights: Path) -> int:
    return sum(v.size for k, v in read_state(weights).items() if "running_" not in k)


# ---------------------------------------------------------------------------------------------- tables and plots
def _tables(runs: list[dict[str, Any]], rivals: dict[str, _Arm], cost: dict[str, Any]) -> dict[str, Any]:
    finished = [row for row in runs if "diverged" not in row]
    return {
        "experiments": _table(finished, _EXPERIMENTS, "unet-mask"),
        "harmonic_against_unet": _table(finished, rivals, _CONTROL),
        "learning": [_learning(finished, name, cost) for name in rivals],
    }


def _table(runs: list[dict[str, Any]], arms: Iterable[str], control: str) -> list[dict[str, Any]]:
    """A row an arm: the mean and spread over seeds of each figure, and of Dice gained over the control's."""
    gains = {row["arm"]: row["gain"] for row in compared(runs, control, list(arms), "dice")}
    rows = []
    for name in arms:
        mine = [row for row in runs if row["arm"] == name]
        if mine:
            same = {key: mine[0][key] for key in ("views", "parameters")}
            figures = {key: spread([row[key] for row in mine]) for key in _FIGURES if key in mine[0]}
            rows.append({"arm": name, "seeds": len(mine), **same, **figures, "dice_gain": gains.get(name)})
    return rows


def _learning(runs: list[dict[str, Any]], name: str, cost: dict[str, Any]) -> dict[str, Any]:
    """After how many views, and seconds of training steps, an arm's validation Dice is what it is: means of the seeds
    that get there."""
    found = [row["val_dice"] for row in runs if row["arm"] == name]
    ms = cost["training_ms_per_picture"]["harmonic" if name == _HARMONIC_ARM else "unet"]
    until = {}
    for level in _DICE_LEVELS:
        views = [v for v in (_views_until(curve, level) for curve in found) if v is not None]
        mean = statistics.fmean(views) if views else None
        seconds = None if mean is None else round(mean * ms / 1e3, 1)
        reach = f"{len(views)} of {len(found)}"
        until[str(level)] = {"views": mean and round(mean), "seconds": seconds, "seeds_that_reach_it": reach}
    return {"arm": name, "until_dice": until}


def _views_until(val_dice: list[float], level: float) -> float | None:
    """Views until a curve first reaches a level, read between its points; None where it never does."""
    after = next((i for i, value in enumerate(val_dice) if value >= level), None)
    if not after:
        return after if after is None else float(_VIEWS_PER_EPOCH)
    low, high = val_dice[after - 1], val_dice[after]
    return _VIEWS_PER_EPOCH * (after + (level - low) / (high - low))


def _plot(runs: list[dict[str, Any]], rivals: dict[str, _Arm], cost: dict[str, Any]) -> None:
    """Learning curves over views and over time, and Dice by angle, as PNG beside the results; means of seeds."""
    means = {
        key: {name: _mean_curve(runs, name, key) for name in rivals if _mean_curve(runs, name, key)}
        for key in ("val_dice", "dice_by_angle")
    }
    learned, by_angle = means["val_dice"], means["dice_by_angle"]
    epochs = np.arange(1, _RIVAL_EPOCHS + 1)
    seconds = epochs * _VIEWS_PER_EPOCH * cost["training_ms_per_picture"]["harmonic"] / 1e3
    ends = {name: len(curve) / _RIVAL_EPOCHS for name, curve in learned.items()}
    over_time = {
        n: np.interp(epochs * ends[n], np.arange(1, len(c) + 1), c) for n, c in learned.items() if n != _CONTROL
    }
    if learned:
        over_views = {name: curve[:_RIVAL_EPOCHS] for name, curve in learned.items()}
        _curves("views", epochs * _VIEWS_PER_EPOCH, over_views, "pictures seen", "validation Dice")
    if over_time:
        _curves("time", seconds, over_time, "seconds of training steps", "validation Dice")
    if by_angle:
        _curves("angle", _ANGLES, by_angle, "pictures turned by, degrees", "Dice inside the disc")


def _mean_curve(runs: list[dict[str, Any]], name: str, key: str) -> list[float]:
    every = [row[key] for row in runs if row["arm"] == name and key in row]
    return [statistics.fmean(values) for values in zip(*every, strict=True)]


def _curves(name: str, x: Any, series: Mapping[str, Any], x_label: str, y_label: str) -> None:
    title = "Person masks of LSPET: harmonic network and U-Nets of as many parameters, mean of seeds"
    path = RESULTS / f"{_NAME}_{name}.png"
    curves(path, list(x), series, title=title, x_label=x_label, y_label=y_label, best=None)
