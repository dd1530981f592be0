"""ONNX Runtime on the CPU: the default backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import WeightsError
from ...types import Outputs
from ...weights.card import METADATA_KEY, Card


class OrtBackend:
    """See `Backend`. ``threads`` None leaves the choice to ONNX Runtime (one a physical core)."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime as ort

        path = Path(path)
        if not path.is_file():
            raise WeightsError(f"{path}: no such weight file")
        if path.suffix == ".safetensors":
            raise WeightsError(f"{path}: ONNX Runtime reads .onnx files; export it first, or use the torch backend")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own, undocumented types
            raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
        self.card = Card.from_json(self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        self.description = f"ONNX Runtime {ort.__version__}, CPU, float32, {threads or 'all'} threads"

    def run(self, crops: np.ndarray) -> Outputs:
        """See `Backend.run`."""
        arrays = self._session.run(self._names, {self._input: crops})
        return Outputs(dict(zip(self._names, arrays, strict=True)))

    def close(self) -> None:
        """See `Backend.close`."""
        del self._session
