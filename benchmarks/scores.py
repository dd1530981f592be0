"""What the shipped pose models' scores are worth on people they were not trained on: as they are, and calibrated.

``lspet/dev``: 500 sports people. COCO: the fifth of the photos that the recipe holds back; so few joints that chance
alone makes an error of about 0.05. Ground-truth boxes, single pass; a joint is right at a similarity of 0.5. Also how
well joints that are in the picture are told from others: of the same sports people, in photos cut off within them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from vitruvian import load
from vitruvian.analyze import analyze
from vitruvian.data import read_image
from vitruvian.data.dataset import in_skeleton
from vitruvian.draw.plots import reliability_plot
from vitruvian.evaluate import counts, truth_box
from vitruvian.metrics.calibration import auc_of
from vitruvian.predict import Predictor
from vitruvian.types import Record

from .common import RESULTS, coco_held_back, lspet_dev, pose_models

_STAYS = (0.35, 0.8)
"""The share of a person's box, from the top or a side, that a cut leaves."""


def run() -> dict[str, Any]:
    """Reliability on both sets, and presence in cut photos; the reliability diagrams are written beside the results."""
    models = []
    for name in pose_models():
        with load(name, threads=2, detector=None) as predictor:
            models.append({"model": name, **_reliability(predictor), "presence": _presence(predictor, lspet_dev())})
    return {"models": models}


def _reliability(predictor: Predictor) -> dict[str, Any]:
    rows, columns, card = [], {}, predictor.card
    ways = {"as the network says them": None} | ({"calibrated": card.calibration} if card.calibration else {})
    for name, calibration in ways.items():
        predictor.card = replace(card, calibration=calibration)
        for data, records in (("lspet/dev", lspet_dev()), ("COCO, held back", coco_held_back())):
            found = analyze(predictor, records).calibration
            assert found is not None
            about = {key: found.details[key] for key in ("joints", "brier", "presence_auc")}
            rows.append({"scores": name, "data": data, "ece": found.value, **about})
            groups = found.details["groups"]
            columns[f"{data}, {name}"] = tuple([g[key] for g in groups] for key in ("score", "right", "count"))
    predictor.card = card
    diagram = RESULTS / f"scores-{card.name}.png"
    reliability_plot(diagram, columns, right="joint similarity of 0.5 or more", title=card.name)
    with Image.open(diagram) as image:  # a few colours do, and the repository carries it
        image.convert("RGB").quantize(64).save(diagram, optimize=True)
    return {"rows": rows}


def _presence(predictor: Predictor, records: list[Record]) -> dict[str, Any]:
    """Of each person's photo the part above, left or right of a random line through the person."""
    rng, there, gone = np.random.default_rng(0), [], []
    for record in records:
        image = read_image(str(record.image_path))
        person = next(filter(counts, in_skeleton(record, predictor.skeleton).persons))
        cut, box = _cut(rng, image.shape[:2], truth_box(person))
        poses = predictor.predict(np.ascontiguousarray(image[cut[1] : cut[3], cut[0] : cut[2]]), box[None])
        likely = poses.likely[0]
        corner = np.array(cut[:2])
        with np.errstate(invalid="ignore"):
            inside = (person.keypoints_px >= corner - 0.5).all(1) & (person.keypoints_px < np.array(cut[2:]) - 0.5).all(
                1
            )
        there += likely[person.labelled & inside].tolist()
        gone += likely[person.labelled & ~inside].tolist()
    above = predictor.card.present_above
    limit = above or 0.0
    shares = {"kept": float((np.array(there) >= limit).mean()), "dropped": float((np.array(gone) < limit).mean())}
    return {
        "above": above,
        "in_the_picture": len(there),
        "cut_off": len(gone),
        "auc": auc_of(np.array(there), np.array(gone)),
        **shares,
    }


def _cut(rng: np.random.Generator, size: tuple[int, ...], box_xyxy: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Corners (x0, y0, x1, y1) of the part of a photo (height, width) that stays, and the box in this part's pixels."""
    (x0, y0, x1, y1), (height, width) = box_xyxy, size
    share, kind = rng.uniform(*_STAYS), rng.integers(4)
    part = [0, 0, width, height]
    if kind < 2:  # half of them end below
        part[3] = int(np.clip(y0 + (y1 - y0) * share, 8, height))
    elif kind == 2:
        part[2] = int(np.clip(x0 + (x1 - x0) * share, 8, width))
    else:
        part[0] = int(np.clip(x1 - (x1 - x0) * share, 0, width - 8))
    edges = np.array(part) - 0.5
    box = np.concatenate([np.maximum(box_xyxy[:2], edges[:2]), np.minimum(box_xyxy[2:], edges[2:])])
    return part, box - np.tile(part[:2], 2)
