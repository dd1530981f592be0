"""torch: for checkpoints during training and as the reference that the other backends are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import VitruvianError
from ...extras import need
from ...models import build_model
from ...types import Outputs
from ...weights.checkpoint import load_into, read_card


class TorchBackend:
    """See `Backend`. Reads safetensors checkpoints and shipped ONNX models alike (weights by name)."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        torch = need("torch", "train", "the torch backend")
        self._torch = torch
        if threads is not None:
            torch.set_num_threads(threads)
        self.card = read_card(path)
        network = build_model(self.card.model, len(self.card.skeleton), self.card.codec, **self.card.options)
        load_into(network, path)
        self._network: Any = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description = f"torch {torch.__version__}, CPU, float32, {torch.get_num_threads()} threads"

    def run(self, crops: np.ndarray) -> Outputs:
        """See `Backend.run`."""
        if self._network is None:
            raise VitruvianError("this model was closed; load it again")
        with self._torch.inference_mode():
            arrays = self._network(self._torch.from_numpy(self.card.preprocess.normalise(crops)))
        return Outputs({k: v.numpy() for k, v in arrays.items()})

    def attention(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """What a network with attention looks at; crops as in `run`.

        The network's own ``attention_maps``: ``"holistic"`` (B, 1, h, w) and ``"part"`` (B, K, h, w), as far as it has
        them. Empty for networks without that method.
        """
        maps_of = getattr(self._network, "attention_maps", None)
        if maps_of is None:
            return {}
        with self._torch.inference_mode():
            arrays = maps_of(self._torch.from_numpy(self.card.preprocess.normalise(crops)))
        return {k: v.float().numpy() for k, v in arrays.items()}

    def close(self) -> None:
        """See `Backend.close`."""
        self._network = None
