"""Reading what an ONNX model file carries besides its graph: metadata and named initializers.

A parameter NAME of the network is the initializer of that name, or in int8 files ``NAME.int8``, with which the graph
computes, times ``NAME.int8_scale``, which is there for readers alone: the graph's own scales are those of weights that
have taken in a batch norm, and no training could go on from these. Linear layers compute with their weights transposed,
``NAME.int8_transposed``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import WeightsError
from ..extras import need
from ..formats.writing import atomic_path
from .card import METADATA_KEY, Card

INT8, INT8_TRANSPOSED, INT8_SCALE = ".int8", ".int8_transposed", ".int8_scale"
"""What follows a parameter's name in int8 files; the scale's shape, e.g. (C, 1, 1, 1), goes with the weights'."""


def read_metadata(path: str | Path) -> dict[str, str]:
    """The model's custom metadata (key -> text), through ONNX Runtime, which the light core has anyway."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # metadata needs no optimised graph
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own, undocumented types
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
    return dict(session.get_modelmeta().custom_metadata_map)


def read_initializers(path: str | Path) -> dict[str, np.ndarray]:
    """Initializer name -> array; parameters stored as float16 or int8 become float32. Needs the package ``onnx``."""
    onnx = need("onnx", "train", "taking weights from an ONNX model")
    to_array = need("onnx.numpy_helper", "train", "taking weights from an ONNX model").to_array
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's DecodeError and its kin
        raise WeightsError(f"{path} is not an ONNX model that can be read: {error}") from error
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
    try:
        model = onnx.load(str(source))
    except Exception as error:  # protobuf's DecodeError and its kin
        raise WeightsError(f"{source} is not an ONNX model that can be read: {error}") from error
    onnx.helper.set_model_props(
        model, {**{entry.key: entry.value for entry in model.metadata_props}, METADATA_KEY: card.to_json()}
    )
    with atomic_path(out) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return Path(out)
