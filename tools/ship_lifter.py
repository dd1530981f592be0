"""Make a shipped lifter from a training run: ``python tools/ship_lifter.py RUN``.

RUN may also be a shipped lifter's name. Exports the best weights, stored in 8 bits (checked against torch), measures
the file itself on the held-out takes, and writes the figures onto its card. Run ``python -m benchmarks lifting``
afterwards, for the tables.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

import numpy as np
from benchmarks.lifting import Seen, measure, takes

from vitruvian.export.lifter import export_lifter
from vitruvian.models.lifter import build_lifter
from vitruvian.predict.lift import Lifter
from vitruvian.provenance import portable
from vitruvian.weights.checkpoint import load_into, read_lifter_card
from vitruvian.weights.lifter_zoo import LIFTER_FILES, LIFTER_ZOO, find_lifter

NOTES = (
    "Trained on motion capture of a few people, seen by simulated cameras: walking, running, climbing, dance, martial "
    "arts. Poses unlike these (lying, sitting, handstands) come out worse. Depth is a guess from one view; the two "
    "ways of bending towards and away from the camera are sometimes confused. 2D joints that were swapped left for "
    "right give a wrong pose. Noise in training was that of vitruvian-s."
)


def main(run_folder: str) -> int:
    """Export, measure, write the card."""
    source = Path(run_folder) / "best.safetensors" if Path(run_folder).is_dir() else find_lifter(run_folder)
    card = read_lifter_card(source)
    card = replace(card, provenance=portable(card.provenance), notes=NOTES)
    network = build_lifter(card.model, **card.options)
    load_into(network, source)
    sets = {name: Seen(chosen) for name, chosen in takes().items() if name not in ("train", "val")}
    rows = next(iter(sets.values())).inputs["noisy"]
    example = (
        np.concatenate(rows)[:512] if card.frames == 1 else np.stack([row[:40] for row in rows if len(row) >= 40][:8])
    )
    target = LIFTER_FILES / LIFTER_ZOO[card.name]
    export_lifter(network, card, target, example, weights="int8")
    with Lifter(target) as lifter:
        figures = measure(lifter, sets)
    metrics = [
        {"metric": "MPJPE (mm, standard size)", "value": f["mpjpe_mm"], "split": f"{f['takes']}, {f['inputs']} 2D"}
        | {k: f[k] for k in ("pa_mpjpe_mm", "n_mpjpe_mm", "poses")}
        for f in figures
    ]
    worst = export_lifter(network, replace(card, metrics=tuple(metrics)), target, example, weights="int8")
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, within {worst:.4f} mm of torch")
    for row in metrics:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
