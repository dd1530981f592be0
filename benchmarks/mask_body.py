"""Should the mask network have a body of its own, or share the pose network's? And what are the latter's weights worth?

Every arm is the recipe of vitruvian-mask's second part for a short while, with the body of `recipes/vitruvian-s-4.yaml`
as it is: from its weights with everything learning on (a body of its own); from its weights with the body frozen, all
that a mask head may do that leaves the joints alone (a shared body); and from random weights. The end of training is
measured, without a choice of epochs, on people whom neither network has seen: ground-truth boxes, single pass. Arms
that a cut-off run has finished are not run again.
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

from .common import coco_held_back, compared, runs_left, save, unfinished
from .masks import fashion

_NAME = "mask_body"
_ROOT = Path(__file__).resolve().parents[1]
_CONTROL = "own body"
_ARMS = (_CONTROL, "shared body, frozen", "own body, random weights")
_BODY = ("stem", "stage8", "stage16", "stage32", "down32", "side16", "fuse16", "down16", "side8", "fuse8")
_SEEDS = (0, 1, 2)
_CROPS, _EPOCHS = 4096, 3


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each run, marked unfinished."""
    dataset.read_image = functools.cache(dataset.read_image)  # all runs see the same photos
    setting = {"crops": _CROPS * _EPOCHS, "metric": "mean Dice on ccp/dev, and on COCO people held back; single pass"}
    done: list[dict[str, Any]] = unfinished(_NAME, setting).get("runs", [])
    people = {"fashion": fashion(), "coco": coco_held_back(keep_unlabelled=True)}
    result: dict[str, Any] = {"finished": False, **setting, "fashion": [], "coco": [], "runs": done}
    for _ in runs_left(done, itertools.product(_SEEDS, _ARMS), lambda seed, arm: _measured(arm, seed, people)):
        result |= {name: compared(done, _CONTROL, _ARMS, name) for name in people}
        save(_NAME, result)
    return {**result, "finished": True}


def _recipe(arm: str, seed: int, out: str) -> Recipe:
    recipe = Recipe.load(_ROOT / "recipes" / "vitruvian-mask-2.yaml").model_dump(mode="json")
    body = Recipe.load(_ROOT / "recipes" / "vitruvian-s-4.yaml").model
    options = {**body.options, "fine": recipe["model"]["options"]["fine"]}
    start = None if arm == _ARMS[2] else str(_ROOT / "runs" / "vitruvian-s-4" / "best.safetensors")
    model = {"name": body.name, "options": options, "init": start, "freeze": _BODY if arm == _ARMS[1] else ()}
    short = {"epochs": _EPOCHS, "views_per_epoch": _CROPS, "val_every": _EPOCHS, "seed": seed, "out": out}
    optim = {**recipe["optim"], "warmup_steps": 30, "ema": 0.98}
    return Recipe.check(
        {**recipe, "model": model, "optim": optim, "input": {**recipe["input"], "progressive": ()}, **short}
    )


def _measured(arm: str, seed: int, people: dict[str, list[Record]]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        last = train(_recipe(arm, seed, folder)) / "last.safetensors"
        with load(last, threads=2) as model:
            return {name: evaluate(model, found, ["mask_dice"])["mask_dice"].value for name, found in people.items()}
