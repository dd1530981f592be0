"""Does adversarial training help? Supervised against each mode, three seeds, on sports people.

For each seed a generator is trained without discriminators. From its last weights every arm goes on alike: an epoch in
which discriminators learn on the frozen generator, then epochs of both in turns, on the same photos in the same order
with the same augmentation. The control ("supervised") does just that too, with the discriminators' weights at 0: its
generator never feels them. The best joint epoch is chosen on 4 % of lspet/train; lspet/dev is looked at once, for that
epoch. An arm whose loss diverges is a result, and recorded. Arms that a cut-off run has finished are not run again.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from vitruvian import evaluate, load, read, train
from vitruvian.metrics import MetricResult
from vitruvian.training import Recipe

from .common import DATA, RESULTS, save

_ROOT = Path(__file__).resolve().parents[1]
_MODES = ("sane", "paper", "paper_abs", "cooperative", "began")
_SEEDS = (0, 1, 2)
_GENERATOR_EPOCHS, _JUDGE_EPOCHS, _JOINT_EPOCHS = 12, 1, 2
_JOINT_LR = 5e-4
_WORK = Path(tempfile.gettempdir()) / "vitruvian-adversarial-ablation"


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each arm, marked unfinished."""
    sports = read(
        "coco", DATA / "photos/lspet/dev/person_keypoints_dev.json", images=DATA / "photos/lspet/dev/images"
    ).records
    done = _finished()
    for seed in _SEEDS:
        base = _generator(seed)
        for arm in ("supervised", *_MODES):
            if any(row["seed"] == seed and row["arm"] == arm for row in done):
                continue
            start = time.monotonic()
            init = str(base / "last.safetensors")
            try:
                found = _measure(_arm(arm, seed, init), sports)
            except FloatingPointError as error:
                found = {"diverged": str(error)}
            minutes = (time.monotonic() - start) / 60
            done.append({"seed": seed, "arm": arm, "minutes": round(minutes, 2), **found})
            save("adversarial_ablation", {"finished": False, **_summary(done)})
    shutil.rmtree(_WORK)
    return {"finished": True, **_summary(done)}


def _finished() -> list[dict[str, Any]]:
    path = RESULTS / "adversarial_ablation.json"
    if not path.is_file():
        return []
    result = json.loads(path.read_text(encoding="utf-8"))
    return [] if result["finished"] else result["runs"]


def _recipe(name: str, seed: int, changes: dict[str, Any]) -> Recipe:
    data = yaml.safe_load((_ROOT / "recipes" / "adversarial-lsp.yaml").read_text(encoding="utf-8"))
    return Recipe.check({**data, "name": name, "seed": seed, "out": str(_WORK), **changes})


def _generator(seed: int) -> Path:
    folder = _WORK / f"generator-{seed}"
    if (folder / "finished").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    train(_recipe(folder.name, seed, {"adversarial": None, "epochs": _GENERATOR_EPOCHS}))
    (folder / "finished").touch()
    return folder


def _arm(arm: str, seed: int, init: str) -> Path:
    shutil.rmtree(_WORK / f"{arm}-{seed}", ignore_errors=True)
    recipe = _recipe(f"{arm}-{seed}", seed, {})
    assert recipe.adversarial is not None
    part = recipe.adversarial.model_dump()
    part["stages"] = {"generator": 0, "discriminator": _JUDGE_EPOCHS, "joint": _JOINT_EPOCHS}
    part |= {"alpha": 0.0, "beta": 0.0} if arm == "supervised" else {"mode": arm}
    epochs = _JUDGE_EPOCHS + _JOINT_EPOCHS
    return train(_started(_recipe(recipe.name, seed, {"adversarial": part, "epochs": epochs}), init, _JOINT_LR))


def _started(recipe: Recipe, init: str, lr: float) -> Recipe:
    data = recipe.model_dump()
    data["model"]["init"] = init
    data["optim"]["lr"] = lr
    return Recipe.check(data)


def _measure(folder: Path, sports: list[Any]) -> dict[str, Any]:
    with load(folder, threads=2) as predictor:
        found: MetricResult = evaluate(predictor, sports, ["pck"], batch=64)["pck"]
        chosen = predictor.card.metrics[0]
    return {"pck": found.value, "val_pck": chosen["value"], "epoch": chosen["epoch"]}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    control = {r["seed"]: r["pck"] for r in runs if r["arm"] == "supervised" and "pck" in r}
    for arm in ("supervised", *_MODES):
        found = {r["seed"]: r["pck"] for r in runs if r["arm"] == arm and "pck" in r}
        if found:
            gains = [value - control[seed] for seed, value in found.items() if seed in control]
            rows.append({"arm": arm, "seeds": len(found), **_spread(list(found.values())), "gain": _spread(gains)})
    return {
        "metric": "PCK@0.2 (torso, 12 limb joints), lspet/dev, ground-truth boxes, single pass",
        "epochs": {"generator": _GENERATOR_EPOCHS, "discriminator": _JUDGE_EPOCHS, "joint": _JOINT_EPOCHS},
        "arms": rows,
        "runs": runs,
    }


def _spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation (0 for one value)."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.fmean(values), 4), "deviation": round(deviation, 4)}
