"""Measure the shipped 2D model's errors for training lifters: ``python tools/measure_noise2d.py``.

On the 500 people of lspet/dev and the held-back part of the COCO people, with ground-truth boxes. Writes the package's
``training/noise2d.json``: per joint, near and far errors and left-right swaps (`vitruvian.training.lifting_noise`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

from benchmarks.common import DATA

from vitruvian import load, read
from vitruvian.evaluate import counts, truth_box
from vitruvian.provenance import provenance
from vitruvian.training.lifting_noise import MEASURED, fit_noise
from vitruvian.training.sources import in_fraction
from vitruvian.transforms.lifting import INPUT_JOINTS
from vitruvian.types import Record

_HELD_BACK = (0.0, 0.2)


def people() -> list[Record]:
    """Annotated photos that the shipped model has not seen in training."""
    photos = DATA / "photos"
    sports = read("coco", photos / "lspet/dev/person_keypoints_dev.json", images=photos / "lspet/dev/images").records
    coco = photos / "coco/train"
    everyday = read("coco", coco / "person_keypoints_train2017.json", images=coco / "images").records
    return sports + [r for r in everyday if in_fraction(Path(str(r.image_path)).name, _HELD_BACK)]


def main() -> int:
    """Predict, compare, write."""
    truth, found, scores = [], [], []
    with load("default", threads=1) as predictor:
        card = predictor.card
        for record in people():
            persons = [p for p in record.persons if counts(p)]
            if not persons:
                continue
            poses = predictor.predict(record.image_path, np.stack([truth_box(p) for p in persons]))
            truth.append(INPUT_JOINTS.take(record.skeleton, np.stack([p.keypoints_px for p in persons]), 1, np.nan))
            found.append(INPUT_JOINTS.take(predictor.skeleton, poses.keypoints, 1, np.nan))
            scores.append(INPUT_JOINTS.take(predictor.skeleton, poses.scores, 1, 0.0))
    origin = provenance()
    source = {
        "model": card.name,
        "model_commit": card.provenance.get("commit"),
        "people": "lspet/dev (500) and the COCO people held back from its training; ground-truth boxes, no flip test",
        "count": int(sum(map(len, truth))),
        "unit": "root-mean-square distance of the labelled joints from their mean",
        **{key: origin[key] for key in ("date", "commit", "command")},
    }
    model = fit_noise(np.concatenate(truth), np.concatenate(found), np.concatenate(scores), source=source)
    print(f"{source['count']} people, {model.mirrored:.1%} with left and right exchanged; wrote {model.save(MEASURED)}")
    for joint, bands in model.bands.items():
        print(
            f"{joint:<15}", *(f"{b.near:.3f}/{b.far:.2f} ({b.far_share:.0%}) swap {b.swap_share:.0%};" for b in bands)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
