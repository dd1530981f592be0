"""Does adversarial training help? Supervised against each mode, three seeds, on sports people.

For each seed a generator is trained without discriminators. From its last weights every arm goes on alike: an epoch in
which discriminators learn on the frozen generator, then epochs of both in turns, on the same photos in the same order
with the same augmentation. The control ("supervised") does just that too, with the discriminators' weights at 0: its
generator never feels them. The best joint epoch is chosen on 4 % of lspet/train; lspet/dev is looked at once, for that
epoch. An arm whose loss diverges is a result, and recorded. Arms that a cut-off run has finished are not run again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from vitruvian import train
from vitruvian.training import Recipe

from .common import compared, dev_pck, lspet_dev, runs_left, save, unfinished

_ROOT = Path(__file__).resolve().parents[1]
_MODES = ("sane", "paper", "paper_abs", "cooperative", "began")
_SEEDS = (0, 1, 2)
_GENERATOR_EPOCHS, _JUDGE_EPOCHS, _JOINT_EPOCHS = 12, 1, 2
_JOINT_LR = 5e-4
_WORK = Path(tempfile.gettempdir()) / "vitruvian-adversarial-ablation"


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each arm, marked unfinished."""
    sports = lspet_dev()
    setting = {
        "metric": "PCK@0.2 (torso, 12 limb joints), lspet/dev, ground-truth boxes, single pass",
        "epochs": {"generator": _GENERATOR_EPOCHS, "discriminator": _JUDGE_EPOCHS, "joint": _JOINT_EPOCHS},
    }
    done = unfinished("adversarial_ablation", setting).get("runs", [])
    result = lambda: {**setting, "arms": compared(done, "supervised", ("supervised", *_MODES)), "runs": done}  # noqa: E731
    for seed in _SEEDS:
        base = _generator(seed)
        init, todo = str(base / "last.safetensors"), [(seed, arm) for arm in ("supervised", *_MODES)]
        for _ in runs_left(done, todo, lambda seed, arm, init=init: dev_pck(_arm(arm, seed, init), sports)):
            save("adversarial_ablation", {"finished": False, **result()})
    shutil.rmtree(_WORK)
    return {"finished": True, **result()}


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
