"""Lifters on takes of the CMU motion capture that they were not trained on, against two baselines.

Each take is seen by four random cameras that follow the person. ``exact``: the 2D joints as they project. ``noisy``:
with the full noise measured of our own 2D model, drawn anew for each frame. ``no head``: exact, without neck and head
top, as ``coco17`` has it. Truth and prediction are of people of the standard size (see `vitruvian.transforms.lifting`).

Baselines: ``mean pose``, the mean of the training poses in the cameras' axes; ``constant depth``, the true x and y in
mm of every joint at the depth of the pelvis, which no lifter is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vitruvian
from vitruvian.formats.motion import Motion
from vitruvian.metrics.pose3d import pose3d_result
from vitruvian.predict.lift import Lifter, load_lifter
from vitruvian.training.lifting import split_takes
from vitruvian.training.lifting_data import CameraPool, LiftingBatches, Views
from vitruvian.training.lifting_noise import NoiseModel
from vitruvian.training.recipe import Recipe
from vitruvian.transforms.lifting import INPUT_JOINTS, OUTPUT_JOINTS, input_joints, lifter_inputs, standard_size
from vitruvian.weights.lifter_zoo import LIFTER_ZOO

from .common import DATA

INPUTS = ("exact", "noisy", "no head")
_CAMERAS = 4
_RECIPE = Path(vitruvian.__file__).parent / "recipes" / "lifter-s.yaml"
_MOCAP = DATA / "mocap" / "cmu_h36m17_15fps.npz"


def takes() -> dict[str, list[Motion]]:
    """The recipe's training, validation and test takes."""
    recipe = Recipe.load(_RECIPE, [f"train.0.path={_MOCAP}"])
    return split_takes(recipe)


class Seen:
    """Takes seen by cameras: for every take and camera a row of poses, the same each time."""

    def __init__(self, chosen: Sequence[Motion], seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        views = Views(cameras=_CAMERAS)
        noise = NoiseModel.load()
        self.truth: list[np.ndarray] = []
        self.takes: list[int] = []
        self.fps = float(np.mean([take.fps for take in chosen]))
        self.inputs: dict[str, list[np.ndarray]] = {name: [] for name in INPUTS}
        headless = np.isin(INPUT_JOINTS.joints, ("neck", "head_top"))
        for take in chosen:
            bodies = np.tile(standard_size(take.positions_mm), (_CAMERAS, 1, 1, 1))
            plane, joints = CameraPool(rng, views).see(bodies, np.arange(_CAMERAS))
            for points, truth in zip(input_joints(plane), joints, strict=True):
                ones = np.ones(points.shape[:2])
                self.inputs["exact"].append(lifter_inputs(points, ones))
                self.inputs["noisy"].append(lifter_inputs(*noise.apply(rng, points)))
                self.inputs["no head"].append(lifter_inputs(points, np.where(headless, 0.0, ones)))
                self.takes += [len(self.truth)] * len(truth)
                self.truth.append(truth)

    def figures(self, predict: Callable[[np.ndarray, np.ndarray], np.ndarray], kind: str = "exact") -> dict[str, Any]:
        """Errors of what ``predict`` makes of each row's inputs (T, 14, 3) and, for baselines, its truth."""
        rows = [predict(given, truth) for given, truth in zip(self.inputs[kind], self.truth, strict=True)]
        result = pose3d_result(
            np.concatenate(rows), np.concatenate(self.truth), OUTPUT_JOINTS.joints, sequences=self.takes, fps=self.fps
        ).details
        names = ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm_per_s")
        return {
            **{name: round(float(result[name]), 1) for name in names},
            "pck3d_150": round(float(result["pck3d_150"]), 4),
            "poses": int(result["poses"]),
        }


def predictor(lifter: Lifter) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The lifter as a function of a row's inputs; the ends of rows are repeated for lifters of rows."""
    reach = lifter.card.frames // 2

    def predict(inputs: np.ndarray, truth: np.ndarray) -> np.ndarray:
        if not reach:
            return lifter.run(inputs)
        return lifter.run(np.concatenate([inputs[:1].repeat(reach, 0), inputs, inputs[-1:].repeat(reach, 0)])[None])[0]

    return predict


def mean_pose(train: Sequence[Motion]) -> np.ndarray:
    """(17, 3) the mean of the training poses in the cameras' axes."""
    views = Views(bones=0.0)
    batches = LiftingBatches(train, 1, 1024, views, NoiseModel.load(), seed=3)
    return np.concatenate([batches[i][1] for i in range(len(batches))]).mean(0)


def measure(lifter: Lifter, sets: dict[str, Seen]) -> list[dict[str, Any]]:
    """A row for each set and kind of input."""
    return [
        {"lifter": lifter.card.name, "frames": lifter.card.frames, "takes": name, "inputs": kind}
        | seen.figures(predictor(lifter), kind)
        for name, seen in sets.items()
        for kind in INPUTS
    ]


def run() -> dict[str, Any]:
    """All shipped lifters and the baselines on both test sets."""
    split = takes()
    sets = {name: Seen(chosen) for name, chosen in split.items() if name not in ("train", "val")}
    mean = mean_pose(split["train"])
    baselines: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "mean pose": lambda inputs, truth: np.broadcast_to(mean, truth.shape),
        "constant depth": lambda inputs, truth: truth * np.array([1.0, 1.0, 0.0]),
    }
    rows = [
        {"lifter": name, "frames": 1, "takes": set_name, "inputs": "none" if name == "mean pose" else "true x and y"}
        | seen.figures(predict)
        for name, predict in baselines.items()
        for set_name, seen in sets.items()
    ]
    for name in LIFTER_ZOO:
        with load_lifter(name) as lifter:
            rows += measure(lifter, sets)
    counts = {name: {"takes": len(t), "frames": sum(map(len, t))} for name, t in split.items()}
    return {
        "data": "CMU motion capture, 17 joints of h36m17 at 15 fps",
        "split": counts,
        "cameras": _CAMERAS,
        "rows": rows,
    }
