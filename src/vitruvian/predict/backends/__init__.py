"""Runtimes that turn crops into a network's arrays, behind one Protocol of four members.

Adding a backend: 1. write ``backends/<name>.py`` with a class that has the members of `Backend`; 2. add it to
`BACKENDS`. The parity suite compares it with the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import VitruvianError
from ...types import Outputs
from ...weights.card import Card
from .ort import OrtBackend


class Backend(Protocol):
    """A loaded model."""

    card: Card
    """What the weight file says of itself."""

    description: str
    """Runtime, device, precision and threads, for reports."""

    def run(self, crops: np.ndarray) -> Outputs:
        """(B, h, w, 3) uint8 crops in the card's size and colour order -> arrays by the codec's names."""
        ...

    def close(self) -> None:
        """Release threads and memory."""
        ...


def _torch(path: Path, threads: int | None) -> Backend:
    from .torch_backend import TorchBackend

    return TorchBackend(path, threads)


def _openvino(path: Path, threads: int | None) -> Backend:
    from .openvino_backend import OpenVinoBackend

    return OpenVinoBackend(path, threads)


BACKENDS: dict[str, Callable[[Path, int | None], Backend]] = {
    "onnxruntime": OrtBackend,
    "openvino": _openvino,
    "torch": _torch,
}


def load_backend(path: str | Path, backend: str | None = None, threads: int | None = None) -> Backend:
    """Open a weight file with a backend; by default ONNX Runtime for ``.onnx`` and torch for safetensors.

    Raises
    ------
    VitruvianError
        An unknown backend.
    MissingExtraError
        The backend's library is not installed.
    WeightsError
        The file is missing, malformed, or of a kind the backend cannot read.
    """
    path = Path(path)
    name = backend or ("torch" if path.suffix == ".safetensors" else "onnxruntime")
    if name not in BACKENDS:
        raise VitruvianError(f"unknown backend '{name}'; known: {', '.join(sorted(BACKENDS))}")
    return BACKENDS[name](path, threads)


__all__ = ["BACKENDS", "Backend", "OrtBackend", "load_backend"]
