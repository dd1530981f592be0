"""ONNX Runtime on the CPU: the default backend.

Several crops do not go through the network together, but one on each thread: a small network's convolutions are too
short to be shared between threads, and one crop's maps stay in a core's cache. On two cores that is a tenth faster than
a batch of eight on both.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ...errors import VitruvianError, WeightsError
from ...types import Outputs
from ...weights.card import METADATA_KEY, Card
from ...weights.onnx_file import openable


class OrtBackend:
    """See `Backend`. ``threads`` None: ONNX Runtime's choice (one a physical core) for one crop, every core for more.

    ``together`` puts all crops of a call through the network at once, to see whether a file can.
    """

    def __init__(self, path: Path, threads: int | None = None, together: bool = False) -> None:
        import onnxruntime as ort

        path = Path(path)
        if path.suffix == ".safetensors" and path.is_file():
            raise WeightsError(f"{path}: ONNX Runtime reads .onnx files; export it first, or use the torch backend")
        self._path, self._threads = path, threads
        self._workers = 1 if together else threads or os.cpu_count() or 1
        self._lock = Lock()
        self._session: Any = open_session(path, threads)
        self._alone: Any = None  # a session that keeps to the thread it is called from, made when it is needed
        self._pool: ThreadPoolExecutor | None = None
        self.card = Card.from_json(self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        self.description = f"ONNX Runtime {ort.__version__}, CPU, {self.card.precision}, {threads or 'all'} threads"

    def run(self, crops: np.ndarray) -> Outputs:
        """See `Backend.run`."""
        if self._session is None:
            raise VitruvianError("this model was closed; load it again")
        pool = self._ready_pool() if len(crops) > 1 and self._workers > 1 else None
        if pool is None:
            arrays = self._session.run(self._names, {self._input: crops})
        else:
            each = list(pool.map(self._run_one, crops))
            arrays = [np.concatenate(parts) for parts in zip(*each, strict=True)]
        return Outputs(dict(zip(self._names, arrays, strict=True)))

    def _ready_pool(self) -> ThreadPoolExecutor | None:
        """The threads, with their session; None where the file has gone since the first session was opened."""
        with self._lock:  # calls may come from several threads
            if self._pool is None:
                if not self._path.is_file():
                    return None
                self._alone = open_session(self._path, 1)
                self._pool = ThreadPoolExecutor(self._workers, "vitruvian-ort")
            return self._pool

    def _run_one(self, crop: np.ndarray) -> list[np.ndarray]:
        return self._alone.run(self._names, {self._input: crop[None]})

    def close(self) -> None:
        """See `Backend.close`."""
        if self._pool is not None:
            self._pool.shutdown()
        self._alone = self._pool = self._session = None


def open_session(path: Path, threads: int | None, what: str = "weight file") -> Any:
    """An ONNX file on the CPU; ``threads`` None leaves the choice to ONNX Runtime.

    Raises `WeightsError` for a file that is missing (``what`` says of which kind) or cannot be read.
    """
    import onnxruntime as ort

    if not path.is_file():
        raise WeightsError(f"{path}: no such {what}")
    model = openable(path)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own, undocumented types
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
