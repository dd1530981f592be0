"""ONNX export of lifters: one small file with the card inside, checked against torch before it is given its name."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import ExportError
from ..extras import need
from ..formats.writing import atomic_path
from ..predict.lift import Lifter
from ..weights.card import METADATA_KEY
from ..weights.lifter_card import LifterCard
from ..weights.onnx_file import write_model
from .weights import Weights, check_weights, round_weights, store_weights


def export_lifter(
    network: nn.Module,
    card: LifterCard,
    path: str | Path,
    inputs: np.ndarray,
    weights: Weights = "float16",
    tolerance_mm: float = 0.1,
) -> float:
    """Write a lifter as ONNX and compare it with torch on ``inputs``; returns the largest difference in mm.

    Parameters
    ----------
    network : the trained lifter; it is copied, not changed.
    card : written into the metadata.
    path : the file to write, atomically, and only when the comparison passes.
    inputs : (N, 14, 3) to compare on, or (B, T, 14, 3) for a lifter of rows of poses.
    weights : how large weights are stored, see `export.weights`. The network compared against has its rounded likewise.
    tolerance_mm : the largest difference allowed.

    Raises
    ------
    ExportError
        The exported lifter differs by more than ``tolerance_mm``; no file is left behind.
    """
    check_weights(weights)
    path = Path(path)
    network = copy.deepcopy(network).cpu().eval()
    large = round_weights(network, weights)
    example = torch.from_numpy(np.asarray(inputs, np.float32))
    with torch.no_grad():
        expected = network(example).numpy()
    with atomic_path(path) as temporary:
        model = _to_onnx(network, example, rows=card.frames > 1)
        store_weights(model, weights, large)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, card.to_json()
        write_model(temporary, model.SerializeToString())
        with Lifter(temporary) as lifter:
            difference = float(np.abs(lifter.run(inputs) - expected).max())
        if not difference <= tolerance_mm:
            raise ExportError(
                f"the exported lifter differs from torch by {difference:.3g} mm (allowed {tolerance_mm:g}); {path} was "
                "not written"
            )
    return difference


def _to_onnx(network: nn.Module, example: torch.Tensor, rows: bool) -> Any:
    need("onnxscript", "train", "ONNX export")
    dim = torch.export.Dim
    frames = getattr(network, "frames", 1)
    shapes: dict[int, Any] = {0: dim("batch")}
    if rows:
        shapes[1] = dim("poses", min=frames + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself, not about the model
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["inputs"],
            output_names=["joints_mm"],
            dynamic_shapes=(shapes,),
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None  # only None when exporting straight to a file
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # the exporter's notes on where each node came from: a tenth of a small file
        part.doc_string = ""
    del model.graph.value_info[:]
    return model
