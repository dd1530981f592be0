"""How much faster and better is 3D regression after the grid task than from scratch? Three seeds, three transfers.

Pictures are figures drawn into motion capture (CMU's people 01 and 05 and its dancers and fighters) and seen by random
cameras. Others are only looked at: 02 and 06 after each epoch, 03 and 07 once, by the best epoch's weights. For each
seed the network of system 4 ("fast" kernels) learns the grid task once; then it regresses poses three times alike, from
its own start (``none``), from the grid's convolutions (``conv``), and from its wide layers too (``conv+fc``). Epochs
of the grid task are no part of the curves: the result says how many they are. Arms that a cut-off run has finished are
not run again.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from vitruvian import train
from vitruvian.data.poses3d import write_poses3d
from vitruvian.draw.plots import curves
from vitruvian.synth.mocap import mocap_figures
from vitruvian.training import Recipe

from .common import DATA, RESULTS, save, spread, unfinished

_ROOT = Path(__file__).resolve().parents[1]
_ARMS = ("none", "conv", "conv+fc")
_SEEDS = (0, 1, 2)
_PEOPLE = {
    "train": ["01", "05", "train_data_bvh_salsa", "train_data_bvh_martial", "train_data_bvh_indian"],
    "val": ["02", "06"],
    "test": ["03", "07"],
}
_PICTURES = {"train": 2000, "val": 200, "test": 400}
_GRID_EPOCHS, _POSE_EPOCHS = 12, 16
_CHANGES: dict[str, Any] = {}  # of the recipe, for a quick try
_WORK = Path(tempfile.gettempdir()) / "vitruvian-grid-pretraining"
_NAME = "grid_pretraining"


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each arm, marked unfinished, and plotted."""
    setting = {
        "metric": "MPJPE (mm, relative to the pelvis), drawn people in CMU poses, captured people unseen in training",
        "pictures": dict(_PICTURES),
        "epochs": {"grid": _GRID_EPOCHS, "pose": _POSE_EPOCHS},
    }
    done: list[dict[str, Any]] = unfinished(_NAME, setting).get("runs", [])
    result: dict[str, Any] = {}
    tables = _tables()
    for seed in _SEEDS:
        # The arm "conv" comes first: it trains the grid task, which "conv+fc" begins with too.
        for arm in ("conv", "conv+fc", "none"):
            if any(row["seed"] == seed and row["arm"] == arm for row in done):
                continue
            start = time.monotonic()
            folder = _train(arm, seed, tables)
            minutes = round((time.monotonic() - start) / 60, 2)
            done.append({"seed": seed, "arm": arm, "minutes": minutes, **_measured(folder)})
            result = {**setting, "arms": _compared(done), "runs": done}
            save(_NAME, {"finished": False, **result})
            plot(result)
    shutil.rmtree(_WORK)
    return {"finished": True, **(result or {**setting, "arms": _compared(done), "runs": done})}


def _tables() -> dict[str, Path]:
    """The pictures, drawn once for all seeds and arms."""
    found = {}
    for number, (part, count) in enumerate(_PICTURES.items()):
        found[part] = path = _WORK / f"{part}-{count}.npz"
        if not path.is_file():
            mocap = DATA / "mocap" / "cmu_h36m17_15fps.npz"
            write_poses3d(path, mocap_figures(mocap, count, number, subjects=_PEOPLE[part], background=False))
    return found


def _train(arm: str, seed: int, tables: dict[str, Path]) -> Path:
    data = yaml.safe_load((_ROOT / "recipes" / "grid-mocap.yaml").read_text(encoding="utf-8"))
    for part in ("train", "val"):
        data[part] = [{"format": "poses3d", "path": str(tables[part])}]
    grid = {**data["grid"], "transfer": arm, "epochs": 0, "test": [{"format": "poses3d", "path": str(tables["test"])}]}
    learned = _WORK / f"conv-{seed}" / "grid.safetensors"
    if arm == "conv":
        grid["epochs"] = _GRID_EPOCHS
    elif arm == "conv+fc":
        grid["init"] = str(learned)
        if not learned.is_file():  # the temporary folder was emptied between two runs
            _train("conv", seed, tables)
    run = _WORK / f"{arm}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    changes = {"name": run.name, "out": str(_WORK), "seed": seed, "grid": grid, "epochs": _POSE_EPOCHS, "val_every": 1}
    return train(Recipe.check({**data, **changes, **_CHANGES}))


def _measured(folder: Path) -> dict[str, Any]:
    """The validation curve, and the test figures of the best epoch's weights."""
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val_mpjpe_mm")]
    test = json.loads((folder / "pose3d.json").read_text(encoding="utf-8"))["result"]
    return {
        "val_mpjpe_mm": [round(float(row["val_mpjpe_mm"]), 2) for row in rows],
        "test_mpjpe_mm": round(test["mpjpe_mm"], 2),
        "test_pa_mpjpe_mm": round(test["pa_mpjpe_mm"], 2),
    }


def _compared(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row an arm: figures over seeds, and after how many epochs it is as good as training from scratch ever is."""
    scratch = {row["seed"]: min(row["val_mpjpe_mm"]) for row in runs if row["arm"] == "none"}
    rows = []
    for arm in _ARMS:
        mine = [row for row in runs if row["arm"] == arm]
        if not mine:
            continue
        reached = [
            next((i + 1 for i, v in enumerate(row["val_mpjpe_mm"]) if v <= scratch[row["seed"]]), None)
            for row in mine
            if row["seed"] in scratch
        ]
        as_good = [epochs for epochs in reached if epochs is not None]
        rows.append(
            {
                "arm": arm,
                "seeds": len(mine),
                "test_mpjpe_mm": spread([row["test_mpjpe_mm"] for row in mine]),
                "test_pa_mpjpe_mm": spread([row["test_pa_mpjpe_mm"] for row in mine]),
                "epochs_until_as_good_as_scratch": round(statistics.fmean(as_good), 1) if as_good else None,
                "seeds_that_reach_it": f"{len(as_good)} of {len(reached)}",
            }
        )
    return rows


def plot(result: dict[str, Any]) -> Path:
    """Validation MPJPE over the epochs of regression, the mean over seeds of each arm, as a PNG beside the results."""
    series = {}
    for arm in reversed(_ARMS):
        every = [row["val_mpjpe_mm"] for row in result["runs"] if row["arm"] == arm]
        if every:
            series[f"transfer: {arm}"] = [statistics.fmean(values) for values in zip(*every, strict=True)]
    epochs = range(1, 1 + max(len(values) for values in series.values()))
    grid = result["epochs"]["grid"]
    title = f"3D regression after {grid} epochs of the grid task, and from scratch\nmean of seeds, other people"
    return curves(
        RESULTS / f"{_NAME}.png",
        list(epochs),
        series,
        title=title,
        x_label="epoch of regression",
        y_label="validation MPJPE, mm",
        best="min",
    )
