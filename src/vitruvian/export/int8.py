"""int8 export: static quantisation with real crops, judged on people, kept only where it loses little.

Sources: Jacob et al., CVPR 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 2 (affine 8-bit numbers); ONNX Runtime's quantisation tool, which this drives: 8-bit unsigned
activations, 8-bit signed weights with a scale for every channel, as pairs of Quantize and Dequantize nodes.

Weights take seven of their eight bits by default: on x86 processors without VNNI the products of two neighbours are
added in 16 bits, where full ones overflow, and the same file would be wrong there. The last layer stays in floating
point, since joints are read between the cells of its maps.

Batch norms go into the convolutions before them, but the file keeps them, and the scales of the convolutions without
them, so that training can go on from it. One array of small integers serves both: a batch norm multiplies a whole
channel, which is a matter of the channel's scale alone.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..errors import ExportError
from ..evaluate import evaluate
from ..extras import need
from ..predict import Predictor
from ..predict.backends import OrtBackend
from ..types import Record
from ..weights.card import Card
from ..weights.onnx_file import INT8, INT8_SCALE, write_card
from .onnx import export_onnx

ALLOWED_POINTS = 0.5
"""Of a metric in percent, e.g. PCK from 60.6 to 60.1."""

_QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Concat", "MaxPool", "Relu", "Resize")
_COMPUTING = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ROUNDS = 15


@dataclass(frozen=True)
class Int8Report:
    """What `export_int8` measured.

    Attributes
    ----------
    path : the file written.
    kind : ``"int8"``, or ``"float16"`` where int8 lost too much (of the weights alone, see `export_onnx`).
    bytes, bytes_float : of int8 and of float32.
    figures : metric -> value with float32, value with int8, and the loss in points.
    people : who was judged. crops : with how many activations were calibrated.
    speed_up : median time of float32 over that of int8, taken in turns in this process.
    """

    path: Path
    kind: str
    bytes: int
    bytes_float: int
    figures: dict[str, dict[str, float]]
    people: int
    crops: int
    speed_up: float

    @property
    def loss(self) -> float:
        """The largest loss of a metric, in points."""
        return max(row["loss"] for row in self.figures.values())


def export_int8(
    network: nn.Module,
    card: Card,
    path: str | Path,
    crops: np.ndarray,
    records: Sequence[Record],
    metrics: Sequence[str] = ("pck", "oks_ap"),
    allowed: float = ALLOWED_POINTS,
    force: bool = False,
    seven_bits: bool = True,
    threads: int | None = None,
) -> Int8Report:
    """Write ``network`` as an int8 ONNX file, or with float16 weights where int8 loses more than ``allowed`` points.

    Parameters
    ----------
    network, card : as in `export_onnx`.
    crops : (N, h, w, 3) uint8 real crops that show how large activations get; about a hundred, not of the people that
        are judged.
    records : annotated people to judge on.
    metrics : of `METRICS`, shares in [0, 1] where more is better.
    allowed : points that each of the metrics may lose.
    force : keep int8 whatever it loses.
    seven_bits : see the module's text.

    Raises
    ------
    ExportError
        No metric could be measured, or the float export differs from torch.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        export_onnx(network, card, plain, crops[:16], half_weights=False)
        quantise(plain, small, crops, seven_bits)
        write_card(small, small, card)
        with Predictor(OrtBackend(plain, threads)) as one, Predictor(OrtBackend(small, threads)) as two:
            figures, people = _figures(one, two, records, metrics)
            ratio = speed_up(one, two, crops[:4])
        sizes = small.stat().st_size, plain.stat().st_size
        report = Int8Report(path, "int8", *sizes, figures, people, len(crops), ratio)
        if report.loss > allowed and not force:
            export_onnx(network, card, path, crops[:16])
            return replace(report, kind="float16")
        about = {"loss_points": {name: round(row["loss"], 3) for name, row in figures.items()}, "people": people}
        write_card(small, path, replace(card, provenance={**card.provenance, "int8": about}))
    return report


def quantise(source: Path, out: Path, crops: np.ndarray, seven_bits: bool = True) -> None:
    """Turn a float32 ONNX file of this project's into an int8 one, calibrated on (N, h, w, 3) uint8 crops.

    The card is lost on the way; the parameters are still there, see `weights.onnx_file`.
    """
    purpose = "int8 export"
    tool, onnx = need("onnxruntime.quantization", "train", purpose), need("onnx", "train", purpose)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        folded = Path(folder) / "folded.onnx"  # batch norms go into convolutions, without which they would stay floats
        shape_tool = need("onnxruntime.quantization.shape_inference", "train", purpose)
        shape_tool.quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        tool.quantize_static(
            str(folded),
            str(out),
            _Crops(crops),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=seven_bits,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_last_layers(onnx.load(str(folded)).graph),
            calibrate_method=tool.CalibrationMethod.MinMax,
        )
    model = onnx.load(str(out))
    _keep_parameters(onnx.load(str(source)).graph, model.graph)
    onnx.save(model, str(out))


def _keep_parameters(plain: Any, graph: Any) -> None:
    """Let `weights.onnx_file` find the parameters of the float graph in the int8 one.

    Those that are no int8 weights times a scale a channel, and are not there as they were, come along as they are.
    """
    helper = need("onnx.numpy_helper", "train", "int8 export")
    floats = {t.name: helper.to_array(t) for t in plain.initializer}
    tensors = {t.name: t for t in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    user = {node.name: node for node in graph.node if node.op_type in _COMPUTING}
    kept = set(tensors)
    for node in plain.node:
        name = node.input[1] if node.name in user else None
        source = maker.get(user[node.name].input[1]) if name in floats else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        weights, axis = helper.to_array(tensors[source.input[0]]), next(a.i for a in source.attribute if a.name == "axis")
        scale = _scale_of(floats[name], weights, axis)
        if scale is not None:
            source.input[0] = tensors[source.input[0]].name = name + INT8
            graph.initializer.append(helper.from_array(scale, name + INT8_SCALE))
            kept.add(name)
    graph.initializer.extend(t for t in plain.initializer if t.name not in kept and floats[t.name].dtype == np.float32)


def _scale_of(floats: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray | None:
    """What to multiply int8 ``weights`` with, channel by channel, to come within half of it of ``floats``, or None.

    The largest weight of a channel decides its scale and so is not rounded: their quotient is the scale itself.
    """
    if floats.shape != weights.shape:
        return None
    others = tuple(i for i in range(floats.ndim) if i != axis)
    flat = np.moveaxis(floats, axis, 0).reshape(floats.shape[axis], -1)
    largest = np.abs(flat).argmax(axis=1)[:, None]
    top = np.take_along_axis(np.moveaxis(weights, axis, 0).reshape(flat.shape), largest, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.expand_dims((np.take_along_axis(flat, largest, 1) / top)[:, 0], others).astype(np.float32)
        near = np.abs(weights * scale - floats) <= 0.501 * np.abs(scale)
    return scale if near.all() else None


def speed_up(one: Predictor, two: Predictor, crops: np.ndarray, rounds: int = _ROUNDS) -> float:
    """Median time of the first over that of the second on the same crops, in turns; the first round does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for predictor, taken in zip((one, two), times, strict=True):
            start = time.perf_counter()
            predictor.backend.run(crops)
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0][1:]) / statistics.median(times[1][1:])


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


def _figures(
    one: Predictor, two: Predictor, records: Sequence[Record], metrics: Sequence[str]
) -> tuple[dict[str, dict[str, float]], int]:
    before, after = (evaluate(predictor, records, metrics) for predictor in (one, two))
    figures = {}
    for name, found in before.items():
        values = found.value, after[name].value
        if None not in values:
            figures[name] = {"float32": values[0], "int8": values[1], "loss": 100 * (values[0] - values[1])}  # type: ignore[operator]
    if not figures:
        raise ExportError(
            f"none of {list(metrics)} could be measured on these {len(records)} images; int8 needs a judge"
        )
    people = sum(not p.is_crowd and bool(p.labelled.any()) for r in records for p in r.persons)
    return figures, people


class _quiet:
    """The tool warns on the root logger that it would rather have prepared the model itself, which it has."""

    def __enter__(self) -> None:
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().setLevel(self._level)
