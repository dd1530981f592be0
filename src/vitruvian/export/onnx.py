"""ONNX export: one file with the card inside, checked against torch before it is given its name.

The graph takes crops as uint8 (B, h, w, 3) RGB and normalises them itself, so that no caller can get mean, scale or
channel order wrong. Batch norms are kept apart from convolutions (runtimes fuse them when loading), because then the
initializers are the network's parameters by name and can be fine-tuned from.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ExportError
from ..extras import need
from ..formats.writing import atomic_path
from ..predict.backends import OrtBackend
from ..types import Outputs
from ..weights.card import METADATA_KEY, Card
from ..weights.onnx_file import write_model
from .weights import Weights, check_weights, round_weights, store_weights

_PREFIX = "network."


@dataclass(frozen=True)
class ExportReport:
    """What `export_onnx` measured: largest differences to torch over all test crops.

    Attributes
    ----------
    path : the file written.
    bytes : its size.
    max_output_difference : of the raw arrays, over their largest magnitude.
    max_keypoint_px : of decoded joints, in input pixels, among joints of score >= 0.05; 0 for what finds no joints.
    max_score : of decoded scores, likewise.
    crops : how many crops were compared.
    """

    path: Path
    bytes: int
    max_output_difference: float
    max_keypoint_px: float
    max_score: float
    crops: int


class _Deployed(nn.Module):
    """Normalisation and network in one graph, outputs as a tuple in the codec's order."""

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__()
        self.network = network
        self.names = list(card.codec.shapes(len(card.skeleton)))
        # Not "mean" and "scale": the exporter names the results of operations like that, and does not look for clashes.
        self.register_buffer("crops_mean", torch.tensor(card.preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("crops_scale", 1 / torch.tensor(card.preprocess.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        arrays = self.network((crops.permute(0, 3, 1, 2).float() - self.crops_mean) * self.crops_scale)  # type: ignore[operator]
        return tuple(arrays[name] for name in self.names)


def export_onnx(
    network: nn.Module,
    card: Card,
    path: str | Path,
    crops: np.ndarray,
    weights: Weights = "float16",
    tolerance: float = 1e-3,
) -> ExportReport:
    """Write ``network`` as ONNX and compare it with torch on ``crops``.

    Parameters
    ----------
    network : the trained network; it is copied, not changed.
    card : written into the metadata; decides input size and outputs.
    path : the file to write, atomically, and only when the comparison passes; ``.onnx``, or ``.onnx.gz`` compressed.
    crops : (N, h, w, 3) uint8, real crops to compare on; more and more varied ones make a better check.
    weights : how large weights are stored, see `export.weights`; runtimes compute in float32 all the same. The network
        compared against has its weights rounded likewise, so that the check sees graph errors alone; what the rounding
        costs is for the caller's evaluation to say.
    tolerance : largest difference allowed, relative to the largest output.

    Raises
    ------
    ExportError
        The exported model differs by more than ``tolerance``; no file is left behind.
    """
    check_weights(weights)
    path = Path(path)
    width, height = card.preprocess.size_wh
    if crops.dtype != np.uint8 or crops.shape[1:] != (height, width, 3) or len(crops) == 0:
        raise ExportError(
            f"export needs crops (N, {height}, {width}, 3) uint8 to compare on, got {crops.dtype} {crops.shape}"
        )
    network = copy.deepcopy(network).cpu()  # rounding and evaluation mode are no business of the caller's network
    deployed = _Deployed(network, card).eval()
    large = round_weights(network, weights)
    with atomic_path(path) as temporary:
        model = _to_onnx(deployed, torch.from_numpy(crops[:2].copy() if len(crops) > 1 else np.repeat(crops, 2, 0)))
        store_weights(model, weights, large)
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, card.as_float().to_json()
        write_model(temporary, model.SerializeToString())
        report = _compare(deployed, card, temporary, crops, path)
        if report.max_output_difference > tolerance:
            raise ExportError(
                f"the exported model differs from torch by {report.max_output_difference:.2e} of its largest output "
                f"(allowed {tolerance:.0e}; joints by up to {report.max_keypoint_px:.3f} px); {path} was not written"
            )
    return report


def _to_onnx(deployed: _Deployed, example: Tensor) -> Any:
    need("onnxscript", "train", "ONNX export")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself, not about the model
        program = torch.onnx.export(
            deployed,
            (example,),
            input_names=["crops"],
            output_names=deployed.names,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None  # only None when exporting straight to a file
    model = program.model_proto
    _drop_zero_biases(model)
    _name_as_the_network(model.graph)
    _add_what_only_teaches(model.graph, deployed.network)
    return model


def _add_what_only_teaches(graph: Any, network: nn.Module) -> None:
    """Parameters that only training computes with, such as the heads of earlier stacks, come along as well: without
    them no training could go on from the file."""
    to_tensor = need("onnx.numpy_helper", "train", "ONNX export").from_array
    there = {t.name for t in graph.initializer}
    for name, value in network.state_dict().items():
        if name not in there and value.dtype == torch.float32:
            graph.initializer.append(to_tensor(value.numpy(), name))


def _drop_zero_biases(model: Any) -> None:
    """Let go of the biases of convolutions that have none in torch, which the exporter spells out as an Expand of 0.

    Runtimes do not see through it, and would not fold the batch norm that follows: a third more time.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 3 and _is_zero(node.input[2], makers):
            node.input.pop()
    need("onnxscript.optimizer", "train", "ONNX export").remove_unused_nodes(model)


def _is_zero(name: str, makers: dict[str, Any]) -> bool:
    """Whether a tensor is the constant 0, cast and expanded or not; ``makers`` are the nodes by their outputs."""
    node = makers.get(name)
    while node is not None and node.op_type in ("Expand", "Cast", "CastLike"):
        node = makers.get(node.input[0])
    if node is None or node.op_type != "Constant":
        return False
    (value,) = node.attribute
    return value.name == "value" and not need("onnx.numpy_helper", "train", "ONNX export").to_array(value.t).any()


def _name_as_the_network(graph: Any) -> None:
    """Give the network's tensors the names they have in torch, and what already bears one of these another.

    No name in torch begins with a dot, so that other name is free.
    """
    names = {t.name: t.name.removeprefix(_PREFIX) for t in graph.initializer if t.name.startswith(_PREFIX)}
    wanted = set(names.values())
    fixed = wanted & {value.name for value in (*graph.input, *graph.output)}
    if fixed:
        raise ExportError(f"a tensor of the network is called as an input or output of the graph: {sorted(fixed)}")
    described = [value for value in graph.value_info if value.name not in names]  # initializers say all by themselves
    del graph.value_info[:]
    graph.value_info.extend(described)
    made = {name for node in graph.node for name in node.output} | {t.name for t in graph.initializer}
    rename(graph, names | {name: f".{name}" for name in wanted & made})


def rename(graph: Any, names: dict[str, str]) -> None:
    """Give tensors of an ONNX graph, save its inputs and outputs, other names wherever they stand."""
    for value in (*graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for used in (node.input, node.output):
            used[:] = [names.get(name, name) for name in used]


def _compare(deployed: _Deployed, card: Card, file: Path, crops: np.ndarray, path: Path) -> ExportReport:
    """Largest differences between torch and the file, over every crop: the first alone, the others in batches of 8."""
    backend = OrtBackend(file, threads=2, together=True)
    worst, worst_px, worst_score = 0.0, 0.0, 0.0
    starts = [0, *range(1, len(crops), 8)]
    for start, end in zip(starts, [*starts[1:], len(crops)], strict=True):
        batch = crops[start:end]
        with torch.no_grad():
            expected = dict(
                zip(deployed.names, (t.numpy() for t in deployed(torch.from_numpy(batch.copy()))), strict=True)
            )
        got = backend.run(batch).arrays
        for name, array in expected.items():
            difference = float(np.abs(got[name] - array).max() / max(float(np.abs(array).max()), 1e-12))
            worst = max(worst, difference if np.isfinite(difference) else np.inf)  # max() would pass over NaN
        if not card.codec.finds_joints:
            continue
        points, scores = card.codec.decode(Outputs(expected))
        points_got, scores_got = card.codec.decode(Outputs(got))
        sure = scores >= 0.05
        if sure.any():
            worst_px = max(worst_px, float(np.abs(points_got - points)[sure].max()))
        worst_score = max(worst_score, float(np.abs(scores_got - scores).max()))
    backend.close()
    return ExportReport(path, file.stat().st_size, worst, worst_px, worst_score, len(crops))
