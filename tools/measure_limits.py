"""From what score on a box holds a person, and a joint is in the picture: ``python tools/measure_limits.py [MODEL]``.

A pose network is asked about boxes it never learned: of sports people that its recipe holds back for validation, whole
and with the picture cut off at half their height, and random ones in photos that nobody is in. `Card.person_above` is
the mean score (`Poses.mean_scores`) that tells these people best from nobody. `Card.present_above` is the presence (of
models that do not say it the score) that tells the half people's joints best from those that were cut off, of limits
that lose at most a fiftieth of the whole people's. Both go onto the model's card, by `tools/ship.py` too.
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
from vitruvian.data.dataset import remapped
from vitruvian.data.find import find_images
from vitruvian.evaluate import counts, truth_box
from vitruvian.predict import Predictor
from vitruvian.training.sources import in_fraction
from vitruvian.weights.card import Card
from vitruvian.weights.checkpoint import read_card
from vitruvian.weights.onnx_file import write_card
from vitruvian.weights.zoo import find_weights

_VALIDATION = (0.0, 0.04)  # of lspet/train, as in recipes/vitruvian-s.yaml
_LOST = 0.02
_BOXES_A_PHOTO = 8


def people(predictor: Predictor) -> dict[str, list[float]]:
    """Mean joint scores of whole people and of their upper parts; presence of joints of both, and of those cut off."""
    folder = DATA / "photos/lspet/train"
    records = read("coco", folder / "person_keypoints_train.json", images=folder / "images").records
    kinds = ("whole people", "half people", "whole people's joints", "half people's joints", "cut off")
    rng, found = np.random.default_rng(0), {kind: [] for kind in kinds}
    for record in records:
        persons = [person for person in record.persons if counts(person)]
        if not persons or not in_fraction(Path(str(record.image_path)).name, _VALIDATION):
            continue
        image, box = read_image(str(record.image_path)), truth_box(persons[0])
        person = remapped(persons[0], record.skeleton, predictor.skeleton)
        whole = predictor.predict(image, box[None])
        found["whole people"].append(float(whole.mean_scores[0]))
        found["whole people's joints"] += whole.likely[0][person.labelled].tolist()
        rows = max(2, int(box[1] + (box[3] - box[1]) * rng.uniform(0.35, 0.6)))
        part = np.array([[box[0], max(box[1], -0.5), box[2], rows - 0.5]])
        half = predictor.predict(image[:rows].copy(), part)
        found["half people"].append(float(half.mean_scores[0]))
        below = person.keypoints_px[:, 1] > rows + 2
        found["half people's joints"] += half.likely[0][person.labelled & ~below].tolist()
        found["cut off"] += half.likely[0][person.labelled & below].tolist()
    return found


def best_limit(some: np.ndarray, others: np.ndarray, keep: np.ndarray | None = None) -> float:
    """The limit that makes the fewest mistakes, both kinds counting as shares of their own (Youden, Cancer 1950).

    Of those that lose at most a fiftieth of ``keep``.
    """
    limits = np.round(np.arange(0.05, 0.95, 0.01), 2)
    limits = limits if keep is None else [limit for limit in limits if (keep < limit).mean() <= _LOST]
    mistakes = [(some < limit).mean() + (others >= limit).mean() for limit in limits]
    return float(limits[int(np.argmin(mistakes))])


def nobody(predictor: Predictor) -> list[float]:
    """Mean joint scores in random boxes of photos without people."""
    rng, found = np.random.default_rng(0), []
    for path in find_images([DATA / "photos/coco/no_person"]):
        if in_fraction(path.name, EMPTY_HELD_BACK):
            continue
        image = read_image(path)
        height, width = image.shape[:2]
        tall = min(height, width) * np.exp(rng.uniform(np.log(0.2), 0, _BOXES_A_PHOTO))
        size = np.stack([tall * np.exp(rng.uniform(-0.8, 0.2, _BOXES_A_PHOTO)), tall], axis=1)
        start = rng.random((_BOXES_A_PHOTO, 2)) * np.maximum([width, height] - size, 1)
        found += predictor.predict(image, np.concatenate([start, start + size], axis=1)).mean_scores.tolist()
    return found


def with_limits(path: Path) -> Card:
    """The card of a pose model's file with both figures, and where they came from in the provenance."""
    plain = replace(read_card(path), person_above=None, present_above=None)
    with load(path, threads=1, detector=None) as predictor:
        scores = {name: np.array(values) for name, values in people(predictor).items()}
        scores["nobody"] = np.array(nobody(predictor))
    person = best_limit(np.concatenate([scores["whole people"], scores["half people"]]), scores["nobody"])
    joints = [scores[name] for name in ("half people's joints", "cut off", "whole people's joints")]
    present = best_limit(*joints)

    def below(name: str, limit: float) -> dict[str, Any]:
        return {"number": len(scores[name]), "below": round(float((scores[name] < limit).mean()), 3)}

    measured: dict[str, Any] = {
        "person_above": {"above": person} | {n: below(n, person) for n in ("whole people", "half people", "nobody")},
        "present_above": {"above": present}
        | {n: below(n, present) for n in scores if n.endswith("joints") or n == "cut off"},
    }
    return replace(plain, person_above=person, present_above=present, provenance={**plain.provenance, **measured})


def main() -> int:
    """Measure, write them into the weights, say."""
    path = find_weights(sys.argv[1] if len(sys.argv) > 1 else "default")
    card = with_limits(path)
    write_card(path, path, card)
    print(card.provenance["person_above"], card.provenance["present_above"], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
