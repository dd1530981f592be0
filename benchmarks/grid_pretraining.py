"""How much faster and better is 3D regression after the grid task than from scratch? Three seeds, three transfers.

Pictures are those of ``vitruvian synth``, made first: one rendered person in each, whole and alone. The crop blackens
what is behind the person, as the system's does, so no backgrounds are needed. Bodies, recorded takes and clothes of the
held-out pictures are none of those trained on; some of these pictures are looked at after each epoch, the others once,
by the best epoch's weights. All figures are thus of synthetic people.

For each seed the network of system 4 ("fast" kernels) learns the grid task once; then it regresses poses three times
alike, from its own start (``none``), from the grid's convolutions (``conv``), and from its wide layers too
(``conv+fc``). Epochs of the grid task are no part of the curves: the result says how many they are. ``mean pose`` is
the mean of the training poses as an answer to every picture. What a cut-off run has finished is not done again.
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
from vitruvian.draw.plots import curves
from vitruvian.metrics.pose3d import mpjpe, pa_mpjpe, root_relative
from vitruvian.synth.humans import SceneOptions, SynthOptions, generate
from vitruvian.synth.humans.frames import read_synth_people
from vitruvian.training import Recipe

from .common import DATA, RESULTS, save, spread, unfinished

_ROOT = Path(__file__).resolve().parents[1]
_ARMS = ("none", "conv", "conv+fc")
_SEEDS = (0, 1, 2)
_PICTURES = {"train": 4000, "val": 300, "test": 600}
_GRID_EPOCHS, _POSE_EPOCHS = 8, 10
_CHANGES: dict[str, Any] = {}  # of the recipe, for a quick try
_WORK = Path(tempfile.gettempdir()) / "vitruvian-grid-pretraining"
_NAME = "grid_pretraining"


def run() -> dict[str, Any]:
    """All seeds and arms; the result is also written after each arm, marked unfinished, and plotted."""
    setting = {
        "metric": "MPJPE (mm, relative to the pelvis) on SYNTHETIC people; bodies, takes, clothes unseen in training",
        "pictures": dict(_PICTURES),
        "epochs": {"grid": _GRID_EPOCHS, "pose": _POSE_EPOCHS},
    }
    done: list[dict[str, Any]] = unfinished(_NAME, setting).get("runs", [])
    sources = _sources()
    setting |= {"mean_pose": _mean_pose(sources)}
    result = {**setting, "arms": _compared(done), "runs": done}
    for seed in _SEEDS:
        # The arm "conv" comes first: it trains the grid task, which "conv+fc" begins with too.
        for arm in ("conv", "conv+fc", "none"):
            if any(row["seed"] == seed and row["arm"] == arm for row in done):
                continue
            start = time.monotonic()
            folder = _train(arm, seed, sources)
            minutes = round((time.monotonic() - start) / 60, 2)  # with the grid task, where the arm trains it
            done.append({"seed": seed, "arm": arm, "minutes": minutes, **_measured(folder)})
            result = {**setting, "arms": _compared(done), "runs": done}
            save(_NAME, {"finished": False, **result})
            plot(result)
    shutil.rmtree(_WORK)
    return {"finished": True, **result}


def _sources() -> dict[str, dict[str, Any]]:
    """The recipe's sources, their pictures made once for all seeds and arms: ``val`` and ``test`` are of one folder."""
    held_out = _PICTURES["val"] + _PICTURES["test"]
    folders = {}
    for number, (split, count) in enumerate((("train", _PICTURES["train"]), ("val", held_out))):
        options = SynthOptions(
            seed=number,
            size_wh=(160, 160),
            scene=SceneOptions(max_people=1, occluders=0.0, truncation=0.0),
            poses=((DATA / "mocap" / "cmu_bone_rotations.npz").as_posix(),),
            wardrobe=(DATA / "wardrobe.tar.xz").as_posix(),
            split=split,
        )
        folders[split] = str(generate(_WORK / f"people-{split}", count, options, processes=2, say=print))
    ranges = {"train": [0, _PICTURES["train"]], "val": [0, _PICTURES["val"]], "test": [_PICTURES["val"], held_out]}
    return {
        part: {"format": "synth_people", "path": folders[folder], "options": {"pictures": ranges[part]}}
        for part, folder in (("train", "train"), ("val", "val"), ("test", "val"))
    }


def _mean_pose(sources: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Test figures of the mean training pose, which every trained network should beat."""
    poses = {part: read_synth_people(sources[part]["path"], **sources[part]["options"]) for part in ("train", "test")}
    truth = root_relative(poses["test"].joints_mm)
    found = root_relative(poses["train"].joints_mm).mean(axis=0, keepdims=True).repeat(len(truth), axis=0)
    return {
        "test_mpjpe_mm": round(mpjpe(found, truth), 2),
        "test_pa_mpjpe_mm": round(pa_mpjpe(found, truth), 2),
    }


def _train(arm: str, seed: int, sources: dict[str, dict[str, Any]]) -> Path:
    data = yaml.safe_load((_ROOT / "recipes" / "grid-synth.yaml").read_text(encoding="utf-8"))
    grid = {**data["grid"], "transfer": arm, "epochs": 0, "test": [sources["test"]]}
    learned = _WORK / f"conv-{seed}" / "grid.safetensors"
    if arm == "conv":
        grid["epochs"] = _GRID_EPOCHS
    elif arm == "conv+fc":
        grid["init"] = str(learned)
        if not learned.is_file():  # the temporary folder was emptied between two runs
            _train("conv", seed, sources)
    run = _WORK / f"{arm}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    changes = {"name": run.name, "out": str(_WORK), "seed": seed, "grid": grid, "epochs": _POSE_EPOCHS, "val_every": 1}
    changes |= {part: [sources[part]] for part in ("train", "val")}
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
    title = f"3D regression after {grid} epochs of the grid task, and from scratch\n"
    title += "synthetic people, their bodies, takes and clothes unseen in training; mean of seeds"
    return curves(
        RESULTS / f"{_NAME}.png",
        list(epochs),
        series,
        title=title,
        x_label="epoch of regression",
        y_label="validation MPJPE, mm",
        best="min",
    )
