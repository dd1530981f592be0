"""Does adversarial training help? Supervised against each mode, three seeds, on sports people.

For each seed a generator is trained without discriminators (``recipes/adversarial-lsp.yaml``, first stage). From its
last weights every arm goes on for the same number of generator steps, on the same photos and with the
same learning rate: without discriminators (the control), or with one of the modes, whose discriminators were first
trained on the frozen generator. The best epoch is chosen on 4 % of lspet/train; lspet/dev is looked at once, for that
epoch. Arms that a cut-off run has finished are not run again.
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
        base = _supervised(f"generator-{seed}", seed, None, _GENERATOR_EPOCHS, None)
        for arm in ("supervised", *_MODES):
            if any(row["seed"] == seed and row["arm"] == arm for row in done):
                continue
            start = time.monotonic()
            init = str(base / "last.safetensors")
            if arm == "supervised":
                folder = _supervised(f"{arm}-{seed}", seed, init, _JOINT_EPOCHS, _JOINT_LR)
            else:
                folder = _against(arm, seed, init)
            minutes = (time.monotonic() - start) / 60
            done.append({"seed": seed, "arm": arm, "minutes": round(minutes, 2), **_measure(folder, sports)})
            save("adversarial_ablation", {"finished": False, **_summary(done)})
            shutil.rmtree(folder)
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


def _supervised(name: str, seed: int, init: str | None, epochs: int, lr: float | None) -> Path:
    if (_WORK / name / "finished").is_file():
        return _WORK / name
    shutil.rmtree(_WORK / name, ignore_errors=True)
    recipe = _recipe(name, seed, {"adversarial": None, "epochs": epochs})
    folder = train(_started(recipe, init, lr))
    (folder / "finished").touch()
    return folder


def _against(mode: str, seed: int, init: str) -> Path:
    shutil.rmtree(_WORK / f"{mode}-{seed}", ignore_errors=True)
    recipe = _recipe(f"{mode}-{seed}", seed, {})
    assert recipe.adversarial is not None
    stages = {"generator": 0, "discriminator": _JUDGE_EPOCHS, "joint": _JOINT_EPOCHS}
    part = recipe.adversarial.model_dump() | {"mode": mode, "stages": stages}
    epochs = _JUDGE_EPOCHS + _JOINT_EPOCHS
    return train(_started(_recipe(recipe.name, seed, {"adversarial": part, "epochs": epochs}), init, _JOINT_LR))


def _started(recipe: Recipe, init: str | None, lr: float | None) -> Recipe:
    data = recipe.model_dump()
    data["model"]["init"] = init
    if lr is not None:
        data["optim"]["lr"] = lr
    return Recipe.check(data)


def _measure(folder: Path, sports: list[Any]) -> dict[str, Any]:
    with load(folder, threads=2) as predictor:
        found: MetricResult = evaluate(predictor, sports, ["pck"], batch=64)["pck"]
        chosen = predictor.card.metrics[0]
    return {"pck": found.value, "val_pck": chosen["value"], "epoch": chosen["epoch"]}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    control = {r["seed"]: r["pck"] for r in runs if r["arm"] == "supervised"}
    for arm in ("supervised", *_MODES):
        found = {r["seed"]: r["pck"] for r in runs if r["arm"] == arm}
        if found:
            gains = [value - control[seed] for seed, value in found.items()]
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
