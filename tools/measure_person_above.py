"""From what mean joint score on a detector's box holds a person: ``python tools/measure_person_above.py [MODEL]``.

A pose network is asked about boxes it never learned: of sports people that its recipe holds back for validation, whole
and with the picture cut off at half their height, and random ones in photos that nobody is in. The figure is the one
that loses a twentieth of the half people. It goes onto the model's card (`Card.person_above`), by `tools/ship.py` too.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

from benchmarks.common import DATA
from benchmarks.detector import EMPTY_HELD_BACK

from vitruvian import load, read
from vitruvian.data import read_image
from vitruvian.data.find import find_images
from vitruvian.evaluate import counts, truth_box
from vitruvian.predict import Predictor
from vitruvian.training.sources import in_fraction
from vitruvian.weights.card import Card
from vitruvian.weights.checkpoint import read_card
from vitruvian.weights.onnx_file import write_card
from vitruvian.weights.zoo import find_weights

_VALIDATION = (0.0, 0.04)  # of lspet/train, as in recipes/vitruvian-s.yaml
_LOST = 0.05
_BOXES_A_PHOTO = 8


def mean_scores(predictor: Predictor, image: np.ndarray, boxes_xyxy: np.ndarray) -> list[float]:
    """The mean joint score in each box."""
    return predictor.predict(image, boxes_xyxy).scores.mean(axis=1).tolist()


def people(predictor: Predictor) -> tuple[list[float], list[float]]:
    """Scores of whole people and of their upper parts."""
    folder = DATA / "photos/lspet/train"
    records = read("coco", folder / "person_keypoints_train.json", images=folder / "images").records
    rng, whole, half = np.random.default_rng(0), [], []
    for record in records:
        persons = [person for person in record.persons if counts(person)]
        if not persons or not in_fraction(Path(str(record.image_path)).name, _VALIDATION):
            continue
        image, box = read_image(str(record.image_path)), truth_box(persons[0])
        whole += mean_scores(predictor, image, box[None])
        rows = max(2, int(box[1] + (box[3] - box[1]) * rng.uniform(0.35, 0.6)))
        half += mean_scores(predictor, image[:rows].copy(), np.array([[box[0], max(box[1], -0.5), box[2], rows - 0.5]]))
    return whole, half


def nobody(predictor: Predictor) -> list[float]:
    """Scores in random boxes of photos without people."""
    rng, found = np.random.default_rng(0), []
    for path in find_images([DATA / "photos/coco/no_person"]):
        if in_fraction(path.name, EMPTY_HELD_BACK):
            continue
        image = read_image(path)
        height, width = image.shape[:2]
        tall = min(height, width) * np.exp(rng.uniform(np.log(0.2), 0, _BOXES_A_PHOTO))
        size = np.stack([tall * np.exp(rng.uniform(-0.8, 0.2, _BOXES_A_PHOTO)), tall], axis=1)
        start = rng.random((_BOXES_A_PHOTO, 2)) * np.maximum([width, height] - size, 1)
        found += mean_scores(predictor, image, np.concatenate([start, start + size], axis=1))
    return found


def with_person_above(path: Path) -> Card:
    """The card of a pose model's file with the figure, and where it came from in the provenance."""
    plain = replace(read_card(path), person_above=None)
    with load(path, threads=1, detector=None) as predictor:
        (whole, half), empty = people(predictor), nobody(predictor)
    above = round(float(np.quantile(half, _LOST)), 2)
    measured: dict[str, Any] = {"above": above}
    for name, scores in (("whole people", whole), ("half people", half), ("nobody", empty)):
        measured[name] = {"boxes": len(scores), "below": round(float(np.mean(np.array(scores) < above)), 3)}
    return replace(plain, person_above=above, provenance={**plain.provenance, "person_above": measured})


def main() -> int:
    """Measure, write it into the weights, say."""
    path = find_weights(sys.argv[1] if len(sys.argv) > 1 else "default")
    card = with_person_above(path)
    write_card(path, path, card)
    print(card.provenance["person_above"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
