"""OpenVINO: the fastest CPU runtime where matrix units exist; reads the same ONNX file.

float32 by default, so that results equal the other backends'; OpenVINO would otherwise choose bfloat16 by itself on
CPUs that have it. ``precision="auto"`` allows that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import VitruvianError, WeightsError
from ...extras import need
from ...types import Outputs
from ...weights.checkpoint import read_card
from ...weights.onnx_file import is_onnx, openable


class OpenVinoBackend:
    """See `Backend`."""

    def __init__(self, path: Path, threads: int | None = None, precision: str = "f32") -> None:
        openvino = need("openvino", "openvino", "the OpenVINO backend")
        path = Path(path)
        if not is_onnx(path):
            raise WeightsError(f"{path}: OpenVINO reads .onnx files; export the checkpoint first")
        self.card = read_card(path)
        config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = precision
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            self._model: Any = core.compile_model(core.read_model(openable(path)), "CPU", config)
        except RuntimeError as error:
            raise WeightsError(f"{path}: OpenVINO cannot compile this model: {error}") from error
        self._names = [output.any_name for output in self._model.outputs]
        computes = "int8" if self.card.precision == "int8" else precision  # 8 bits stay 8 bits, whatever the hint
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, {computes}, {threads or 'all'} threads"

    def run(self, crops: np.ndarray) -> Outputs:
        """See `Backend.run`."""
        if self._model is None:
            raise VitruvianError("this model was closed; load it again")
        result = self._model(crops)
        return Outputs({name: np.array(result[i]) for i, name in enumerate(self._names)})

    def close(self) -> None:
        """See `Backend.close`."""
        self._model = None
