"""Large weights stored in fewer bits than the floats that runtimes compute with.

As float16 behind a Cast, half the size; or as 8-bit integers, a quarter, with a scale for each first index (a
convolution's output channel, a transposed one's input channel), its largest weight over 127 (Jacob et al., CVPR 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.1, of weights
alone). Runtimes undo either when loading, so neither costs
or saves time; 8-bit arithmetic is `quantise`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import ExportError
from ..extras import need
from ..weights.onnx_file import INT8, INT8_SCALE

Weights = Literal["float32", "float16", "int8"]
"""How large weights are stored."""

WEIGHTS: tuple[str, ...] = get_args(Weights)

_LEAST = 256  # numbers; what is smaller, or a vector, stays as it is


def check_weights(kind: str) -> None:
    """`ExportError` for what is none of `WEIGHTS`."""
    if kind not in WEIGHTS:
        raise ExportError(f"weights are stored as {', '.join(WEIGHTS)}; got '{kind}'")


def round_weights(network: nn.Module, kind: Weights) -> set[str]:
    """Round large weights to what they are stored as, in place; their names."""
    if kind == "float32":
        return set()
    large = {name: p for name, p in network.named_parameters() if p.numel() >= _LEAST and p.ndim > 1}
    with torch.no_grad():
        for parameter in large.values():
            parameter.copy_(parameter.half().float() if kind == "float16" else torch.mul(*_integers(parameter)))
    return set(large)


def store_weights(model: Any, kind: Weights, names: Collection[str]) -> None:
    """Keep the initializers ``names`` of an ONNX model so, and turn them into floats before anything uses them.

    They keep their names in int8 files as in `weights.onnx_file`: NAME.int8 times NAME.int8_scale is NAME.
    """
    if kind == "float32":
        return
    onnx = need("onnx", "train", "ONNX export")
    make, float32 = onnx.helper.make_node, onnx.TensorProto.FLOAT
    to_array, from_array = onnx.numpy_helper.to_array, onnx.numpy_helper.from_array
    nodes, added, large = [], [], {}
    for tensor in model.graph.initializer:
        name = tensor.name
        if name not in names:
            continue
        weights = torch.from_numpy(to_array(tensor).copy())
        large[name] = f"{name}.float32"
        if kind == "float16":
            tensor.CopyFrom(from_array(weights.half().numpy(), name))
            nodes.append(make("Cast", [name], [large[name]], to=float32))
            continue
        integers, scale = _integers(weights)
        tensor.CopyFrom(from_array(integers.to(torch.int8).numpy(), name + INT8))
        added.append(from_array(scale.numpy(), name + INT8_SCALE))
        nodes.append(make("Cast", [name + INT8], [f"{name}.cast"], to=float32))
        nodes.append(make("Mul", [f"{name}.cast", name + INT8_SCALE], [large[name]]))
    for node in model.graph.node:
        node.input[:] = [large.get(used, used) for used in node.input]
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(added)
    for value in [value for value in model.graph.value_info if value.name in large]:
        model.graph.value_info.remove(value)  # it says that these are floats


def _integers(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and what to multiply each first index's with: (C, ...) and (C, 1, ...)."""
    scale = weights.abs().amax(dim=tuple(range(1, weights.ndim)), keepdim=True) / 127
    scale = torch.where(scale > 0, scale, torch.ones(()))
    return (weights / scale).round(), scale
