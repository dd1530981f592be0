"""Accuracy of the shipped pose models on people they were not trained on, with ground-truth boxes, and their time.

``lspet/dev``: 500 sports people, PCK@0.2 (torso, 12 limb joints). COCO: the fifth of the photos that the recipes hold
back by hashed file name, OKS AP; few people, so read it as a rough figure. Milliseconds a person are of the network, on
one of a photo and of eight, all models in turns.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np

from vitruvian import Predictor, evaluate, load
from vitruvian.predict.backends import load_backend
from vitruvian.types import Record
from vitruvian.weights.zoo import find_weights

from .common import alternate, coco_held_back, lspet_dev, pose_models

_BY = ("size", "joints", "hidden")
_THREADS, _TURNS = 2, 15


def run() -> dict[str, Any]:
    """Both sets, single pass and with the flip test."""
    sets = (("lspet/dev", lspet_dev(), "pck"), ("COCO, held back", coco_held_back(), "oks_ap"))
    times = {size: _milliseconds(size) for size in (1, 8)}
    models = []
    for name in pose_models():
        about = {"model": name, "megabytes": round(find_weights(name).stat().st_size / 1e6, 2)}
        about |= {f"ms_per_person_batch_{size}": found[name] for size, found in times.items()}
        with load(name, threads=_THREADS) as predictor:
            models.append(about | _accuracy(predictor, sets))
    return {"boxes": "ground truth", "threads": _THREADS, "models": models}


def _accuracy(predictor: Predictor, sets: tuple[tuple[str, list[Record], str], ...]) -> dict[str, Any]:
    rows, joints = [], []
    for data, records, metric in sets:
        single = evaluate(predictor, records, [metric], flip=False)[metric]
        flipped = evaluate(predictor, records, [metric], flip=True, by=_BY)[metric]
        people = sum(not p.is_crowd and bool(p.labelled.any()) for r in records for p in r.persons)
        rows.append(
            {
                "data": data,
                "people": people,
                "metric": flipped.name,
                "value": single.value,
                "value_flip": flipped.value,
                "groups_flip": flipped.details.pop("by"),
                "details_flip": flipped.details,
            }
        )
        if metric == "pck":
            joints = [{"joint": r["joint"], "count": r["count"], "value": r["value"]} for r in flipped.table]
    return {"rows": rows, "per_joint": joints}


def _milliseconds(size: int) -> dict[str, float]:
    with ExitStack() as stack:
        calls = {}
        for name in pose_models():
            backend = stack.enter_context(closing(load_backend(find_weights(name), threads=_THREADS)))
            width, height = backend.card.preprocess.size_wh
            crops = np.random.default_rng(0).integers(0, 256, (size, height, width, 3), dtype=np.uint8)
            calls[name] = partial(backend.run, crops)
        return {name: round(found / size, 2) for name, found in alternate(calls, _TURNS).items()}
