"""8-bit networks: static quantisation with real crops, by ONNX Runtime's tool.

Source: Jacob et al., CVPR 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 2 (affine 8-bit numbers): 8-bit unsigned activations, 8-bit signed weights with a scale for every
channel, as pairs of Quantize and Dequantize nodes.

Weights take seven of their eight bits by default: on x86 processors without VNNI the products of two neighbours are
added in 16 bits, where full ones overflow, and the same file would be wrong there. Fewer bits make a compressed file
smaller, and nothing faster. The last layer stays in floating point, since joints are read between the cells of its
maps.

Batch norms go into the convolutions before them. The file keeps them all the same, and the scales that the weights have
without them, so that training can go on from it. The 8-bit integers are the same with and without: a batch norm
multiplies a channel as a whole, and so its scale alone.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExportError
from ..extras import need
from ..weights.onnx_file import INT8, INT8_SCALE, INT8_TRANSPOSED
from .onnx import rename

_QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "Relu", "Resize")
_COMPUTING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantise(source: Path, out: Path, crops: np.ndarray, weight_bits: int = 7) -> None:
    """Turn a float32 ONNX file of this project's into an int8 one, calibrated on (N, h, w, 3) uint8 crops.

    The card is lost on the way; the network's parameters are still there, see `weights.onnx_file`. ``weight_bits``,
    from 2 to 8: see the module's text; fewer than 7 are for convolutions.
    """
    if not 2 <= weight_bits <= 8:
        raise ExportError(f"weight_bits must be from 2 to 8, got {weight_bits}")
    purpose = "int8 export"
    tool, onnx = need("onnxruntime.quantization", "train", purpose), need("onnx", "train", purpose)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        rounded = Path(folder) / "rounded.onnx"
        plain = onnx.load(str(source))
        _round_weights(plain.graph, weight_bits)
        onnx.save(plain, str(rounded))
        folded = Path(folder) / "folded.onnx"  # batch norms go into convolutions, without which they would stay floats
        shape_tool = need("onnxruntime.quantization.shape_inference", "train", purpose)
        shape_tool.quant_pre_process(str(rounded), str(folded), skip_symbolic_shape=True)
        tool.quantize_static(
            str(folded),
            str(out),
            _Crops(crops),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=weight_bits < 8,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_last_layers(onnx.load(str(folded)).graph),
            calibrate_method=tool.CalibrationMethod.MinMax,
        )
    model = onnx.load(str(out))
    _keep_parameters(plain.graph, model.graph)
    onnx.save(model, str(out))


def _round_weights(graph: Any, bits: int) -> None:
    """Make the steps of convolutions' weights longer where there are to be fewer than seven bits' 64 to a side.

    Half as many of twice the length are among the 64, so nothing is rounded a second time.
    """
    helper, last = need("onnx.numpy_helper", "train", "int8 export"), _last_layers(graph)
    used = {node.input[1] for node in graph.node if node.op_type == "Conv" and node.name not in last}
    for tensor in graph.initializer:
        if bits >= 7 or tensor.name not in used:
            continue
        weights = helper.to_array(tensor)
        step = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True) / 2 ** (bits - 1)
        step = np.where(step > 0, step, 1).astype(np.float32)
        tensor.CopyFrom(helper.from_array(np.round(weights / step) * step, tensor.name))


def _keep_parameters(plain: Any, graph: Any) -> None:
    """Let `weights.onnx_file` find the parameters of the float graph in the int8 one.

    Those that are no int8 weights times a scale a channel, and are not there as they were, come along as they are.
    """
    helper = need("onnx.numpy_helper", "train", "int8 export")
    floats = {t.name: helper.to_array(t) for t in plain.initializer}
    tensors = {t.name: t for t in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    computing = {node.name: node for node in graph.node if node.op_type in _COMPUTING}
    names = {name: f".{name}" for name in maker if name in floats}  # biases, made anew of 32-bit integers
    found = {name for name in tensors if name in floats}
    turned = {node.output[0]: node.input[0] for node in plain.node if node.op_type == "Transpose"}
    for node in plain.node:
        name = node.input[1] if node.name in computing else ""
        kind, name = (INT8_TRANSPOSED, turned[name]) if name in turned else (INT8, name)
        source = maker.get(computing[node.name].input[1]) if name in floats and name not in found else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        axis = next((attribute.i for attribute in source.attribute if attribute.name == "axis"), None)
        weights = floats[name].T if kind == INT8_TRANSPOSED else floats[name]
        scale = _scale_of(weights, helper.to_array(tensors[source.input[0]]), axis)
        if scale is not None:
            names[source.input[0]] = name + kind
            graph.initializer.append(helper.from_array(scale, name + INT8_SCALE))
            found.add(name)
    rename(graph, names)
    graph.initializer.extend(t for t in plain.initializer if t.name not in found and floats[t.name].dtype == np.float32)


def _scale_of(floats: np.ndarray, weights: np.ndarray, axis: int | None) -> np.ndarray | None:
    """What to multiply int8 ``weights`` with, channel by channel, to come within half of it of ``floats``, or None.

    The largest weight of a channel decides its scale and so is not rounded: their quotient is the scale itself.
    """
    if floats.shape != weights.shape:
        return None
    weights = weights.astype(np.float32)
    others = tuple(i for i in range(floats.ndim) if i != axis)
    largest, steps = (np.abs(array).max(axis=others, keepdims=True) for array in (floats, weights))
    sign = np.sign((floats * weights).sum(axis=others, keepdims=True))  # a batch norm may turn a channel over
    scale = sign * largest / np.maximum(steps, 1)
    near = np.abs(weights * scale - floats) <= 0.501 * np.abs(scale)
    return scale if near.all() else None


def _last_layers(graph: Any) -> list[str]:
    """Names of the computing nodes that each output comes from without another in between, and of what follows them."""
    maker = {name: node for node in graph.node for name in node.output}
    found, left = set(), [output.name for output in graph.output]
    while left:
        node = maker.get(left.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        if node.op_type not in _COMPUTING:
            left += list(node.input)
    return sorted(found)


class _Crops:
    """What ONNX Runtime asks for calibration data: inputs one after the other, then None."""

    def __init__(self, crops: np.ndarray) -> None:
        self._crops = crops
        self.rewind()

    def rewind(self) -> None:
        self._left: Iterator[np.ndarray] = iter(np.array_split(self._crops, max(1, len(self._crops) // 8)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {"crops": batch}

    def __iter__(self) -> _Crops:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found

    def __len__(self) -> int:
        return max(1, len(self._crops) // 8)


class _quiet:
    """The tool warns on the root logger that it would rather have prepared the model itself, which it has."""

    def __enter__(self) -> None:
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().setLevel(self._level)
