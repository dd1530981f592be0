"""ONNX model files, and what they carry besides their graphs: metadata and named initializers.

A file ends in ``.onnx``, or in ``.onnx.gz`` where it is compressed (gzip), as the shipped ones are: 8-bit weights have
little more than six bits to say, so that saves a quarter.

A parameter NAME of the network is the initializer of that name, or ``NAME.int8`` times ``NAME.int8_scale``. Graphs that
compute in 8 bits have that scale for readers alone: their own are those of weights that have taken in a batch norm, and
no training could go on from these. Linear layers compute with their weights transposed,
``NAME.int8_transposed``.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..extras import need
from ..formats.writing import atomic_path
from .card import METADATA_KEY, Card

INT8, INT8_TRANSPOSED, INT8_SCALE = ".int8", ".int8_transposed", ".int8_scale"
"""What follows a parameter's name in int8 files; the scale's shape, e.g. (C, 1, 1, 1), goes with the weights'."""


SUFFIXES = (".onnx", ".onnx.gz")

_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for a gzip header, without a time in it: the same model, the same file


def is_onnx(path: str | Path) -> bool:
    """Whether a file's name is that of an ONNX model."""
    return Path(path).name.lower().endswith(SUFFIXES)


def read_model(path: str | Path) -> bytes:
    """An ONNX model as one message, unpacked where its name ends in ``.gz``.

    Raises
    ------
    WeightsError
        There is no such file, or it is no whole gzip file.
    """
    path = Path(path)
    try:
        blob = path.read_bytes()
        blob = gzip.decompress(blob) if path.suffix.lower() == ".gz" else blob
    except (OSError, EOFError, zlib.error) as error:
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
    if not blob:
        raise WeightsError(f"{path} is not an ONNX model that can be read: it is empty")
    return blob


def openable(path: str | Path) -> str | bytes:
    """What a runtime opens: the path, beside which there may be a file of weights, or a compressed model's message."""
    return read_model(path) if Path(path).suffix.lower() == ".gz" else str(path)


def write_model(path: str | Path, blob: bytes) -> Path:
    """Write a model that `read_model` reads, atomically."""
    if Path(path).suffix.lower() == ".gz":
        # "Filtered" gives up on repetitions where they are short: weights have none.
        packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP, 9, zlib.Z_FILTERED)
        blob = packer.compress(blob) + packer.flush()
    with atomic_path(path) as temporary:
        temporary.write_bytes(blob)
    return Path(path)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The model's custom metadata (key -> text), through ONNX Runtime, which the light core has anyway."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # metadata needs no optimised graph
    options.log_severity_level = 4
    model = openable(path)
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own, undocumented types
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
    return dict(session.get_modelmeta().custom_metadata_map)


def read_initializers(path: str | Path) -> dict[str, np.ndarray]:
    """Initializer name -> array; parameters stored as float16 or int8 become float32. Needs the package ``onnx``."""
    to_array = need("onnx.numpy_helper", "train", "taking weights from an ONNX model").to_array
    model = _parsed(path, "taking weights from an ONNX model")
    arrays = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    for kind in (INT8, INT8_TRANSPOSED):
        for name in [name.removesuffix(kind) for name in arrays if name.endswith(kind)]:
            if name + INT8_SCALE not in arrays:
                raise WeightsError(f"{path} has '{name}{kind}' without '{name}{INT8_SCALE}'; export the model again")
            weights = arrays.pop(name + kind) * arrays.pop(name + INT8_SCALE)
            arrays[name] = weights.T if kind == INT8_TRANSPOSED else weights
    return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in arrays.items()}


def write_card(source: str | Path, out: str | Path, card: Card) -> Path:
    """Write a copy of an ONNX model with another card, atomically. Needs the package ``onnx``."""
    onnx = need("onnx", "train", "writing a model's card")
    model = _parsed(source, "writing a model's card")
    onnx.helper.set_model_props(
        model, {**{entry.key: entry.value for entry in model.metadata_props}, METADATA_KEY: card.to_json()}
    )
    return write_model(out, model.SerializeToString())


def _parsed(path: str | Path, purpose: str) -> Any:
    onnx, model = need("onnx", "train", purpose), openable(path)
    try:
        return onnx.load(model) if isinstance(model, str) else onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's DecodeError and its kin
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
