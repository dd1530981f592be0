"""The shipped model of person masks on people that it was not trained on, and what it costs.

``ccp/dev``: street fashion with masks by hand. COCO: people with polygons on the fifth of the photos that the recipe
holds back by hashed file name; few, so read the figures as rough ones. Everybody is looked for in the annotated box.
What is said to be person in the box's margin counts, but for "Dice in the box".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vitruvian import evaluate, load
from vitruvian.data.mask_folder import read_mask_folder
from vitruvian.predict.masks import MASK_MODEL, load_masks
from vitruvian.types import Record

from .common import DATA, alternate, coco_held_back, photo

_METRICS = ("mask_dice", "mask_dice_in_box", "mask_iou", "mask_boundary_f")
_BATCH, _REPEATS = 8, 15


def fashion() -> list[Record]:
    """The 100 photos of street fashion that no training sees."""
    return read_mask_folder(DATA / "photos" / "ccp" / "dev")


def run() -> dict[str, Any]:
    """Both sets, single pass and with the flip test, and milliseconds a person."""
    sets = {"ccp/dev": fashion(), "COCO, held back": coco_held_back(keep_unlabelled=True)}
    rows = []
    with load(MASK_MODEL, threads=2) as model:
        for name, records in sets.items():
            for flip in (False, True):
                found = evaluate(model, records, _METRICS, flip=flip)
                sizes = {row["size"]: row["value"] for row in found["mask_dice"].table}
                values = {metric: found[metric].value for metric in _METRICS}
                people = found["mask_dice"].details["persons"]
                rows.append({"data": name, "people": people, "flip": flip, **values, "dice_by_size": sizes})
        name = model.card.name
    with load_masks(threads=2) as finder:
        image = photo()
        corners = np.random.default_rng(0).uniform(0, 200, (_BATCH, 2))
        boxes = np.hstack([corners, corners + np.array([120, 240])])
        ms = alternate({"people": lambda: finder.shares(image, boxes)}, _REPEATS)["people"] / _BATCH
    return {"model": name, "boxes": "ground truth", "rows": rows, "ms_per_person": round(ms, 2), "batch": _BATCH}
