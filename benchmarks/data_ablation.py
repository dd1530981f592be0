"""What each change of data and augmentation of vitruvian-s's fourth part brings, one by one, and other ways to train.

Every arm goes on from the same network, which knows its training people by heart (`recipes/vitruvian-s-3.yaml`,
narrowed as `recipes/vitruvian-s-4.yaml` says), for the same number of crops, on what it has been trained on and one
change; ``all`` has all of these. The last three arms train otherwise on the same data. The end of training is measured,
without a choice of epochs: lspet/dev (single pass and with flip) and the COCO people held back, ground-truth boxes.
Three minutes an arm and seed on two quiet cores; arms that a cut-off run has finished are not run again.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from pathlib import Path
from typing import Any

from vitruvian import evaluate, load, train
from vitruvian.data import dataset
from vitruvian.training import Recipe
from vitruvian.types import Record

from .common import coco_held_back, compared, lspet_dev, runs_left, save, unfinished

_NAME = "data_ablation"
_RECIPES = Path(__file__).resolve().parents[1] / "recipes"
_BEFORE, _AFTER = _RECIPES / "vitruvian-s-3.yaml", _RECIPES / "vitruvian-s-4.yaml"
_CONTROL = "as before"
_ARMS = (
    _CONTROL,
    "stronger augmentation",
    "labels mended, faces added",
    "street fashion, MediaPipe's joints",
    "rendered people",
    "other surroundings",
    "all",
    "loss: other joints' places weigh too",
    "taught by the fourth and fifth part's mean as well",
    "without averaged weights (EMA)",
)
_SEEDS = (0, 1, 2)
_CROPS, _EPOCHS, _LR = 4096, 4, 1e-3


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each run, marked unfinished."""
    dataset.read_image = functools.cache(dataset.read_image)  # all runs see the same photos
    setting = {
        "crops": _CROPS * _EPOCHS,
        "metric": "PCK@0.2 (torso, 12 limb joints) on lspet/dev; single pass",
        "repeats": "views of their own",  # before 2026-11-22 they were copies
    }
    done: list[dict[str, Any]] = unfinished(_NAME, setting).get("runs", [])
    sports, coco = lspet_dev(), coco_held_back()
    result: dict[str, Any] = {"finished": False, **setting, "arms": [], "coco": [], "runs": done}
    todo = itertools.product(_SEEDS, _ARMS)
    for _ in runs_left(done, todo, lambda seed, arm: _measured(arm, seed, sports, coco)):
        figures = {"arms": "pck", "flip": "pck_flip", "coco": "oks_ap"}
        result |= {name: compared(done, _CONTROL, _ARMS, figure) for name, figure in figures.items()}
        save(_NAME, result)
    return {**result, "finished": True}


def _recipe(arm: str, seed: int, out: str) -> Recipe:
    """The recipe as before, with the arm's part of the recipe of today."""
    old, new = (Recipe.load(path).model_dump(mode="json") for path in (_BEFORE, _AFTER))
    sports, coco = old["train"]
    mended, _, fashion, rendered = new["train"]
    optim = {**old["optim"], "lr": _LR, "warmup_steps": 30, "ema": 0.99}
    rivals = {**old["loss"]["options"], "rival_weight": 20}
    changes: dict[str, dict[str, Any]] = {
        "stronger augmentation": {"geometry": new["geometry"], "photometry": new["photometry"]},
        "labels mended, faces added": {"train": [mended, coco]},
        "street fashion, MediaPipe's joints": {"train": [sports, coco, fashion]},
        "rendered people": {"train": [sports, coco, rendered]},
        # Masks come with the mended labels' file alone; its labels are replaced by those as before.
        "other surroundings": {"mixing": new["mixing"], "train": [_with_masks(sports), coco]},
        "all": {name: new[name] for name in ("geometry", "photometry", "train", "mixing")},
        "loss: other joints' places weigh too": {"loss": {**old["loss"], "options": rivals}},
        "taught by the fourth and fifth part's mean as well": {
            "distil": {"teacher": "runs/vitruvian-s-mean.safetensors"}
        },
        "without averaged weights (EMA)": {"optim": {**optim, "ema": None}},
    }
    short = {"epochs": _EPOCHS, "views_per_epoch": _CROPS, "val_every": _EPOCHS, "seed": seed, "out": out}
    return Recipe.check({**old, "model": new["model"], **short, "optim": optim, **changes.get(arm, {})})


def _with_masks(sports: dict[str, Any]) -> dict[str, Any]:
    """The same people and labels, from the file that also has MediaPipe's masks."""
    return {**sports, "path": "runs/masks/lspet-train.json"}


def _measured(arm: str, seed: int, sports: list[Record], coco: list[Record]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        last = train(_recipe(arm, seed, folder)) / "last.safetensors"
        with load(last, threads=2) as predictor:
            pck, flipped = (evaluate(predictor, sports, ["pck"], batch=64, flip=flip)["pck"] for flip in (False, True))
            average = evaluate(predictor, coco, ["oks_ap"], batch=64)["oks_ap"]
            return {"pck": pck.value, "pck_flip": flipped.value, "oks_ap": average.value}
