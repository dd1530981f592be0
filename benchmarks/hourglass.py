"""The trained two-stack hourglass beside the shipped small model: accuracy, milliseconds a person, parameters.

Train it first: ``vitruvian train recipes/hourglass-lsp.yaml`` (half an hour on two cores). Both run as ONNX files on
the same runtime with two threads, in turns; the hourglass sees 128x128, the small model 192x256.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vitruvian import evaluate, load
from vitruvian.predict import Predictor
from vitruvian.weights.checkpoint import read_state
from vitruvian.weights.zoo import find_weights

from .common import alternate, lspet_dev

_ROOT = Path(__file__).resolve().parents[1]
_RUN = _ROOT / "runs" / "hourglass-lsp"
_BATCH = 8


def run(repeats: int = 15) -> dict[str, Any]:
    """Both models on lspet/dev with ground-truth boxes, single pass and with the flip test."""
    sports = lspet_dev()
    rows, tasks, models = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "hourglass-lsp.onnx"
        command = [sys.executable, "-m", "vitruvian", "export", str(_RUN), str(exported)]
        subprocess.run(command, check=True)
        for source in (exported, "default"):
            model = load(source, threads=2)
            models.append(model)
            width, height = model.card.preprocess.size_wh
            crops = np.random.default_rng(0).integers(0, 256, (_BATCH, height, width, 3), dtype=np.uint8)
            tasks[model.card.name] = lambda model=model, crops=crops: model.run_crops(crops)
            rows.append({"model": model.card.name, "input_wh": [width, height], **_accuracy(model, sports)})
        times = alternate(tasks, repeats)
        parameters = [_parameters(source) for source in (exported, find_weights("default"))]
    for row, model, count in zip(rows, models, parameters, strict=True):
        row["ms_per_person"] = round(times[row["model"]] / _BATCH, 2)
        row["parameters"] = count
        row["chosen"] = model.card.metrics[0] if model.card.metrics else None
        model.close()
    return {"data": "lspet/dev, ground-truth boxes", "batch": _BATCH, "runtime": "onnxruntime, 2 threads", "rows": rows}


def _accuracy(model: Predictor, sports: list[Any]) -> dict[str, Any]:
    single, flipped = (evaluate(model, sports, ["pck"], flip=flip, batch=32)["pck"] for flip in (False, True))
    joints = {row["joint"]: round(row["value"], 4) for row in flipped.table}
    return {"metric": single.name, "pck": single.value, "pck_flip": flipped.value, "per_joint_flip": joints}


def _parameters(path: Path) -> int:
    """Weights and biases; running statistics are folded away or not learned."""
    return sum(v.size for k, v in read_state(path).items() if k.endswith((".weight", ".bias")))
