"""What a training is measured by on people it does not learn from; the first figure a codec allows chooses the best.

Joints: PCK@0.2 of the torso over the 12 limb joints, in photo pixels. Masks: Dice at the network's own maps, of people
who have one. A heat map of all joints, which names none: its squared error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..codecs import Codec, PixelsCodec
from ..geometry import Affine
from ..metrics.masks import dice
from ..metrics.pck import LIMBS12, pck
from ..metrics.scales import torso_px
from ..types import Outputs, Targets


@dataclass(frozen=True)
class Figure:
    """A validation figure: the name it is logged by, what a card calls it, and whether more is better."""

    key: str
    metric: str
    more_is_better: bool = True


PCK = Figure("val_pck", "PCK@0.2 torso, mean of limb joints")
DICE = Figure("val_dice", "mean Dice of the masks, in the crops")
BOXES = Figure("val_ap50", "AP50 of the boxes")
HEAT = Figure("val_heat_mse", "mean squared error of the heat map", more_is_better=False)


def figures_of(codec: Codec) -> tuple[Figure, ...]:
    """The figures that a codec allows; the first one chooses the best epoch."""
    heads = codec.heads if isinstance(codec, PixelsCodec) else ()
    possible = (
        (BOXES, codec.kind == "boxes"),
        (PCK, codec.finds_joints),
        (DICE, "mask" in heads),
        (HEAT, "heat" in heads),
    )
    return tuple(figure for figure, allowed in possible if allowed)


class Measured:
    """What was found on the validation people, batch by batch."""

    def __init__(self) -> None:
        self._found: list[tuple[np.ndarray, np.ndarray]] = []
        self._values: dict[str, list[np.ndarray]] = {DICE.key: [], HEAT.key: []}

    def add(self, codec: Codec, arrays: dict[str, Any], targets: Targets, batch: dict[str, Any]) -> None:
        """One batch: the network's arrays, its targets with masks where there are any, and the loader's batch."""
        outputs = Outputs(arrays)
        if codec.finds_joints:
            keypoints, _ = codec.decode(outputs)
            maps = batch["frame_to_input"].cpu().numpy()
            found = np.stack([Affine(m).inverse().apply(k) for m, k in zip(maps, keypoints, strict=True)])
            self._found.append((batch["index"].cpu().numpy(), found))
        if not isinstance(codec, PixelsCodec):
            return
        if "mask" in codec.heads:
            truth = targets.arrays["mask"].cpu().numpy()
            known = truth.any((1, 2, 3))
            self._values[DICE.key].append(dice(codec.mask(outputs), truth[:, 1])[known])
        if "heat" in codec.heads:
            error = ((arrays["heat"].float() - targets.arrays["heat"]) ** 2).mean((1, 2, 3))
            self._values[HEAT.key].append(error[targets.weights.amax(1) > 0].cpu().numpy())

    def figures(self, dataset: Any) -> dict[str, float]:
        """Name -> value of all that was added, NaN where nobody counts; ``dataset`` is where the indices belong."""
        values = {}
        if self._found:
            index, found = (np.concatenate(part) for part in zip(*self._found, strict=True))
            values[PCK.key] = validation_pck(dataset, index, found)
        for key, parts in self._values.items():
            if parts:
                every = np.concatenate(parts)
                values[key] = float(every.mean()) if len(every) else float("nan")
        return values


def validation_pck(dataset: Any, index: np.ndarray, found_px: np.ndarray) -> float:
    """PCK of people ``index`` (N,) of a data set, found at ``found_px`` (N, K, 2) photo px; NaN if none counts."""
    people = [dataset.people[i][1] for i in index]
    truth_px = np.stack([p.keypoints_px for p in people])
    visible = np.stack([p.labelled for p in people])
    limbs = np.array([joint in LIMBS12 for joint in dataset.skeleton.joints])
    lengths = torso_px(dataset.skeleton, truth_px)
    return float(pck(found_px, truth_px, visible, lengths, (0.2,), joints=limbs).mean_joint[0])
