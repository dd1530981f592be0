"""What a network of a `PixelsCodec` says pixel by pixel, measured in its own crops: soft Dice and the heat map's error.

The metrics of `metrics.METRICS` compare in the photo what a user gets; these compare what was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..codecs import PixelsCodec
from ..data import PoseDataset
from ..data.dataset import takes_part
from ..metrics.masks import dice, soft_dice
from ..types import Record, Targets
from .predictor import Predictor

SOFT, HARD, HEAT = "soft Dice in the crops", "Dice in the crops", "heat map's squared error"


def map_figures(predictor: Predictor, records: Sequence[Record], batch: int = 16) -> dict[str, float]:
    """Means over the annotated people, cropped by their boxes as for training.

    Parameters
    ----------
    predictor : of a model whose codec has the head ``mask`` or ``heat``; others give no figures.
    records : images with their people.
    batch : people that go through the network together.

    Returns
    -------
    ``SOFT`` and ``HARD`` over people who have a mask, ``HEAT`` over people with a joint in the crop; without those that
    the codec has no head for, or nobody has.
    """
    codec = predictor.card.codec
    if not isinstance(codec, PixelsCodec) or not {"mask", "heat"} & set(codec.heads):
        return {}
    masks = "mask" in codec.heads
    teaches = "either" if masks and "heat" in codec.heads else "mask" if masks else "joint"
    if not any(takes_part(person, teaches) for record in records for person in record.persons):
        return {}
    data = PoseDataset(records, predictor.skeleton, predictor.card.preprocess, cache_bytes=0, teaches=teaches)
    values: dict[str, list[np.ndarray]] = {SOFT: [], HARD: [], HEAT: []}
    for start in range(0, len(data), batch):
        items = [data[i] for i in range(start, min(start + batch, len(data)))]
        stacked = {name: np.stack([item[name] for item in items]) for name in items[0]}
        targets: Targets = codec.encode(stacked["keypoints_px"], stacked["visibility"])
        outputs = predictor.backend.run(_in_order(stacked["image"], predictor.card.preprocess.colour))
        if masks:
            known = stacked["has_mask"]
            truth = codec.add_mask(targets, stacked["mask"]).arrays["mask"][known, 1]
            found = codec.mask(outputs)[known]
            values[SOFT].append(soft_dice(found, truth))
            values[HARD].append(dice(found, truth))
        if "heat" in codec.heads:
            error = ((np.asarray(outputs.arrays["heat"]) - targets.arrays["heat"]) ** 2).mean((1, 2, 3))
            values[HEAT].append(error[np.asarray(targets.weights).max(1) > 0])
    every = {name: np.concatenate(parts) for name, parts in values.items() if parts}
    return {name: float(value.mean()) for name, value in every.items() if len(value)}


def _in_order(crops: np.ndarray, colour: str) -> np.ndarray:
    """RGB crops in the channel order that the model takes."""
    return np.ascontiguousarray(crops[..., ::-1]) if colour == "bgr" else crops
