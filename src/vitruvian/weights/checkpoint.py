"""Checkpoints for training: safetensors with a `Card` in the metadata. Nothing is ever unpickled.

A shipped model is an ONNX file; its initializers carry the network's parameter names, so `read_state` takes weights
for fine-tuning from either kind.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WeightsError
from ..extras import need
from .card import METADATA_KEY, Card
from .grid_card import GridCard
from .lifter_card import LifterCard
from .onnx_file import is_onnx, read_initializers, read_metadata

if TYPE_CHECKING:
    from torch import nn

_PARAMETERS = (".weight", ".bias", ".running_mean", ".running_var")
"""How a network's entries end; an ONNX graph also holds constants, which are none."""


def save_checkpoint(path: str | Path, state: dict[str, Any], card: Card | LifterCard | GridCard) -> None:
    """Write weights (name -> torch tensor) and card, atomically: a reader never sees half a file."""
    save = need("safetensors.torch", "train", "writing checkpoints").save
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    blob = save({k: v.detach().cpu().contiguous() for k, v in state.items()}, metadata={METADATA_KEY: card.to_json()})
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's are for their owner alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_card(path: str | Path) -> Card:
    """The card of a safetensors or ONNX file, without loading its weights where the format allows."""
    return Card.from_json(_card_text(Path(path)), path)


def read_lifter_card(path: str | Path) -> LifterCard:
    """The card of a lifter's safetensors or ONNX file, as `read_card` does for models of pictures."""
    return LifterCard.from_json(_card_text(Path(path)), path)


def read_grid_card(path: str | Path) -> GridCard:
    """The card of a grid network's safetensors file, as `read_card` does for models of pictures."""
    return GridCard.from_json(_card_text(Path(path)), path)


def _card_text(path: Path) -> str | None:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    if is_onnx(path):
        return read_metadata(path).get(METADATA_KEY)
    safe_open = need("safetensors", "train", "reading checkpoints").safe_open
    try:
        with safe_open(str(path), framework="numpy") as file:
            return (file.metadata() or {}).get(METADATA_KEY)
    except Exception as error:  # safetensors raises its own, undocumented types
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Parameter name -> float32 array, from a safetensors checkpoint or a shipped ONNX model."""
    path = Path(path)
    if is_onnx(path):
        return read_initializers(path)
    if _card_text(path) is None:  # a clear error for a file that is none of ours
        raise WeightsError(f"{path}: the file has no Vitruvian card, so it is no checkpoint of this package")
    load = need("safetensors.numpy", "train", "reading checkpoints").load_file
    return dict(load(str(path)))


def load_into(network: nn.Module, path: str | Path, strict: bool = True) -> list[str]:
    """Copy weights from a file into a network, by name.

    With ``strict=False`` entries that are missing or of another shape keep their fresh values (fine-tuning with
    another head); their names are returned. Entries of the file that the network has no place for are passed over.

    Raises
    ------
    WeightsError
        With ``strict``, any entry that is missing or of another shape, or any weight of the file that the network has
        no place for (a deeper network's file would otherwise pass for this one's). The network is then unchanged.
    """
    import torch

    state, own = read_state(path), network.state_dict()
    fits = {name for name, tensor in own.items() if name in state and state[name].shape == tuple(tensor.shape)}
    kept = [name for name in own if name not in fits and not name.endswith("num_batches_tracked")]
    if kept and strict:
        raise WeightsError(
            f"{path} does not fit this network: {len(kept)} of {len(own)} entries are missing or of another shape, "
            f"first {kept[0]} (expected {tuple(own[kept[0]].shape)}, "
            f"got {None if kept[0] not in state else tuple(state[kept[0]].shape)})"
        )
    unplaced = [name for name in state if name not in own and name.endswith(_PARAMETERS)]
    if unplaced and strict:
        raise WeightsError(
            f"{path} does not fit this network: {unplaced[0]} (and {len(unplaced) - 1} more entries) has no place in it"
        )
    for name in fits:
        own[name].copy_(torch.from_numpy(np.array(state[name])).to(own[name].dtype))
    return kept
