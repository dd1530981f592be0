"""Accuracy of the shipped model on people it was not trained on, with ground-truth boxes.

``lspet/dev``: 500 sports people, PCK@0.2 (torso, 12 limb joints). COCO: the fifth of the photos that the recipe holds
back by hashed file name, OKS AP; few people, so read it as a rough figure.
"""

from __future__ import annotations

from typing import Any

from vitruvian import evaluate, load

from .common import coco_held_back, lspet_dev

_BY = ("size", "joints", "hidden")


def run() -> dict[str, Any]:
    """Both sets, single pass and with the flip test."""
    sports, coco = lspet_dev(), coco_held_back()
    rows, joints = [], []
    with load("default", threads=2) as predictor:
        for data, records, metric in (("lspet/dev", sports, "pck"), ("COCO, held back", coco, "oks_ap")):
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
        card = predictor.card
    return {"model": card.name, "boxes": "ground truth", "rows": rows, "per_joint": joints}
