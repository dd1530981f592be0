"""``python -m benchmarks [NAME...]``: run benchmarks and write their results."""

from __future__ import annotations

import importlib
import os
import sys

# Matrix products, which speeds are compared with, on as many threads as the networks; before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

from .common import save

BENCHMARKS = ("install", "predict_speed", "memory", "train_speed", "accuracy", "scores")
LONG = (
    "adversarial_ablation",
    "attention_ablation",
    "data_ablation",
    "detector",
    "grid_pretraining",
    "harmonic_speed",
    "hourglass",
    "lifting",
    "mask_body",
    "masks",
    "masks_joints",
)
"""Half an hour each, or in need of a trained model: run by name only."""


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all that do not take long."""
    unknown = set(names) - {*BENCHMARKS, *LONG}
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join((*BENCHMARKS, *LONG))}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"== {name}", flush=True)
        path = save(name, importlib.import_module(f"benchmarks.{name}").run())
        print(f"   written: {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
