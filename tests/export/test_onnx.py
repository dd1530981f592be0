"""ONNX export: numbers as in torch, or no file."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import onnx
from torch import nn

import vitruvian.models.attention
from vitruvian.codecs import HeatmapCodec, PixelsCodec, SimccCodec
from vitruvian.errors import ExportError
from vitruvian.export import export_onnx
from vitruvian.export import onnx as onnx_export
from vitruvian.export.weights import round_weights
from vitruvian.models import build_model
from vitruvian.models.attention import AttentionResNet
from vitruvian.models.layers.attention import ATTENTION, Localiser
from vitruvian.predict.backends import BACKENDS, OrtBackend, load_backend
from vitruvian.types import Outputs
from vitruvian.weights import Card
from vitruvian.weights.checkpoint import load_into, read_card, read_state


@pytest.fixture
def network_and_card(tiny_checkpoint):
    source = tiny_checkpoint / "best.safetensors"
    card = read_card(source)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, source)
    return network.eval(), card


def crops(rng, card, count=5):
    width, height = card.preprocess.size_wh
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_the_file_says_what_torch_says(network_and_card, tmp_path, rng):
    """Against torch with the preprocessing written out, at batch sizes the export never saw."""
    network, card = network_and_card
    report = export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card), weights="float32")
    assert report.bytes == (tmp_path / "m.onnx").stat().st_size
    assert report.max_output_difference < 1e-4
    assert report.crops == 5
    backend = OrtBackend(tmp_path / "m.onnx", threads=1)
    assert backend.card == card
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "Expand" not in kinds, "convolutions without a bias have none here either, see `_drop_zero_biases`"
    for count in (1, 3, 7):
        batch = crops(rng, card, count)
        mean, std = (np.array(v) for v in (card.preprocess.mean, card.preprocess.std))
        inputs = torch.from_numpy(((batch.astype(np.float64) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
        with torch.no_grad():
            expected = network(inputs)["heatmaps"].numpy()
        got = backend.run(batch).arrays["heatmaps"]
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_half_weights_halve_the_file(network_and_card, tmp_path, rng):
    network, card = network_and_card
    whole = export_onnx(network, card, tmp_path / "whole.onnx", crops(rng, card), weights="float32")
    half = export_onnx(network, card, tmp_path / "half.onnx", crops(rng, card))
    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1 and p.numel() >= 256)
    assert whole.bytes - half.bytes == pytest.approx(2 * weights, rel=0.15)
    assert half.max_output_difference < 1e-4, "the check compares with equally rounded weights"


def test_eight_bit_weights_take_a_quarter(network_and_card, tmp_path, rng):
    """Each within half a step of the network's, a step being its output channel's largest over 127; a channel of
    zeros stays one, and what is small or a vector is not touched. Every runtime finds the same."""
    network, card = network_and_card
    large = {name: p for name, p in network.named_parameters() if p.ndim > 1 and p.numel() >= 256}
    with torch.no_grad():
        next(iter(large.values()))[0] = 0
    whole = export_onnx(network, card, tmp_path / "whole.onnx", crops(rng, card), weights="float32")
    small = export_onnx(network, card, tmp_path / "small.onnx", crops(rng, card), weights="int8")
    assert whole.bytes - small.bytes == pytest.approx(3 * sum(p.numel() for p in large.values()), rel=0.15)
    assert small.max_output_difference < 1e-4, "the check compares with equally rounded weights"
    stored = read_state(small.path)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        found = torch.from_numpy(stored[name].copy())
        if name in large:
            step = tensor.abs().flatten(1).amax(1).view(-1, *(1,) * (tensor.ndim - 1)) / 127
            assert ((found - tensor).abs() <= 0.5001 * step).all()
        else:
            torch.testing.assert_close(found, tensor, rtol=0, atol=0)
    batch = crops(rng, card, 2)
    expected, *others = (load_backend(small.path, name).run(batch).arrays["heatmaps"] for name in BACKENDS)
    for found in others:
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_other_kinds_of_weights_are_refused(network_and_card, tmp_path, rng):
    network, card = network_and_card
    with pytest.raises(ExportError, match="float32, float16, int8; got 'int4'"):
        export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card), weights="int4")
    assert not list(tmp_path.iterdir())


def test_a_compressed_file_is_checked_and_kept_as_one(network_and_card, tmp_path, rng):
    network, card = network_and_card
    report = export_onnx(network, card, tmp_path / "m.onnx.gz", crops(rng, card))
    assert report.bytes == report.path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx.gz"]
    assert read_card(report.path) == card


def test_the_callers_network_is_left_alone(network_and_card, tmp_path, rng):
    """A training that exports now and then must not go on with rounded weights, or in evaluation mode."""
    network, card = network_and_card
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_file_is_for_everyone_and_alone(network_and_card, tmp_path, rng):
    network, card = network_and_card
    export_onnx(network, card, tmp_path / "new" / "m.onnx", crops(rng, card))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.onnx"]
    assert (tmp_path / "new" / "m.onnx").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("model", "options", "codec"),
    [
        ("compact", {"widths": (8, 16, 16, 16), "neck": (16, 16), "depths": (1, 1, 1)}, SimccCodec((64, 96))),
        ("rtmpose_t", {"width": 8, "hidden": 32, "keys": 16}, SimccCodec((64, 96), temperature=0.1)),
        ("attention_resnet_18", {"width": 16, "kind": "stn"}, HeatmapCodec((64, 96))),
        ("harmonic", {"streams": ((2, 2), (3, 3), (4, 4))}, PixelsCodec((64, 96), heads=("mask", "heat"))),
        ("hourglass", {"width": 16}, HeatmapCodec((64, 96))),
        ("simple_baseline_18", {"width": 16}, HeatmapCodec((64, 96))),
        ("unet", {"width": 4}, PixelsCodec((64, 96), heads=("mask", "classes"))),
        ("vitpose_s", {"width": 32, "depth": 2, "heads": 4}, HeatmapCodec((64, 96))),
    ],
)
def test_every_family_and_head_can_be_exported(model, options, codec, network_and_card, tmp_path, rng):
    """With outputs in the codec's order, and weights that come back by name, rounded to 8 bits as they are stored."""
    card = network_and_card[1]
    card = Card("x", model, card.skeleton, replace(card.preprocess, size_wh=(64, 96)), codec, options)
    network = build_model(model, len(card.skeleton), codec, **options)
    _wake(network, rng)
    report = export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card, 3), weights="int8")
    assert report.max_output_difference < 1e-4
    assert report.max_score < 1e-3
    rounded = copy.deepcopy(network)
    names = round_weights(rounded, "int8")
    assert names or model == "harmonic"  # whose parameters are few: a filter is a radius of them, turned
    backend = OrtBackend(tmp_path / "m.onnx", threads=1)
    arrays = backend.run(crops(rng, card, 2)).arrays
    assert {k: v.shape[1:] for k, v in arrays.items()} == codec.shapes(len(card.skeleton))
    again = build_model(model, len(card.skeleton), codec, **options)
    assert load_into(again, tmp_path / "m.onnx") == []
    for name, tensor in rounded.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(again.state_dict()[name], tensor, rtol=1e-6, atol=0, msg=name)


def _wake(network: nn.Module, rng: np.random.Generator) -> None:
    """Starts that are so small that rounding is all there is, or 0, become larger; norms have seen what they normalise.

    Without the latter a level grows by ten in each block, and where a harmonic gate shuts just before its heads float32
    itself is off by more than 1e-4 of the largest output, in one network of a hundred (float64 as the judge).
    """
    for layer in network.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.05)
        elif isinstance(layer, Localiser):
            nn.init.normal_(layer.numbers.weight, std=0.1)
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.from_numpy(rng.normal(0, 1, (8, 3, 96, 64)).astype(np.float32)))
    network.eval()


class _TinyBackbone(nn.Sequential):
    """In place of a ResNet, for what comes after it."""

    channels = 8

    def __init__(self, depth: int) -> None:
        super().__init__(nn.AvgPool2d(16), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())


@pytest.mark.parametrize("kind", sorted(ATTENTION))
@pytest.mark.parametrize("legacy", [False, True])
def test_every_kind_of_attention_can_be_exported(kind, legacy, network_and_card, tmp_path, rng, monkeypatch):
    monkeypatch.setattr(vitruvian.models.attention, "ResNet", _TinyBackbone)
    options = {"kind": kind, "width": 8, "legacy_mul": legacy, "part_mix": legacy, "deconvs": 3 if legacy else 4}
    codec, card = HeatmapCodec((64, 96)), network_and_card[1]
    card = replace(card, preprocess=replace(card.preprocess, size_wh=(64, 96)), codec=codec)
    network = AttentionResNet(len(card.skeleton), codec, **options)
    _wake(network, rng)
    report = export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card, 3), weights="float32")
    assert report.max_output_difference < 1e-4


class _WithNames(nn.Module):
    """A network in little whose tensors bear given names."""

    def __init__(self, joints: int, *names: str) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, joints, 1)
        for i, name in enumerate(names):
            self.register_parameter(name, nn.Parameter(torch.tensor([1 + i / 64])))

    def forward(self, images):
        for parameter in self._parameters.values():
            images = torch.sin(images * parameter)
        return {"heatmaps": self.project(nn.functional.avg_pool2d(images, 4))}


def test_names_that_the_graph_has_already(network_and_card, tmp_path, rng):
    """Those of the normalisation's tensors, and what the exporter calls the results of operations."""
    card, some = network_and_card[1], crops(rng, network_and_card[1])
    joints = len(card.skeleton)
    export_onnx(_WithNames(joints, "a", "b"), card, tmp_path / "m.onnx", some, weights="float32")
    made = [name for node in onnx.load(tmp_path / "m.onnx").graph.node for name in node.output]
    taken = ["crops_mean", "crops_scale", *(name for name in made if name != "heatmaps")]
    assert len(taken) >= 8
    assert not any("." in name for name in taken)
    network = _WithNames(joints, *taken)
    report = export_onnx(network, card, tmp_path / "m.onnx", some, weights="float32")
    assert report.max_output_difference < 1e-4
    state = read_state(tmp_path / "m.onnx")
    assert [state[name].item() for name in taken] == [1 + i / 64 for i in range(len(taken))]
    with pytest.raises(ExportError, match="crops"):
        export_onnx(_WithNames(joints, "crops"), card, tmp_path / "n.onnx", some)


@pytest.mark.parametrize(("value", "inputs"), [(0.0, 2), (0.5, 3)])
@pytest.mark.parametrize("cast", [True, False])
def test_only_biases_of_zero_are_dropped(value, inputs, cast):
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    tensor = lambda name, array: onnx.numpy_helper.from_array(np.asarray(array), name)  # noqa: E731
    nodes = [
        helper.make_node("Constant", [], ["one"], value=tensor("", np.float32(value))),
        *([helper.make_node("CastLike", ["one", "x"], ["alike"])] if cast else []),
        helper.make_node("Expand", ["alike" if cast else "one", "count"], ["bias"]),
        helper.make_node("Conv", ["x", "weight", "bias"], ["y"]),
    ]
    constants = [tensor("count", np.int64([2])), tensor("weight", np.ones((2, 1, 1, 1), np.float32))]
    x, y = (helper.make_tensor_value_info(name, floats, shape) for name, shape in (("x", [1, 1, 3, 3]), ("y", None)))
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants))
    onnx_export._drop_zero_biases(model)
    assert len(model.graph.node[-1].input) == inputs


def test_every_crop_is_compared(network_and_card, tmp_path, monkeypatch, rng):
    """A runtime that errs on one crop of ten only, whichever it is."""
    network, card = network_and_card
    batch = crops(rng, card, 10)
    sizes, errs_on = [], [0]

    class Erring(OrtBackend):
        def run(self, crops):
            arrays = {k: v.copy() for k, v in super().run(crops).arrays.items()}
            sizes.append(len(crops))
            for i, crop in enumerate(crops):
                if np.array_equal(crop, batch[errs_on[0]]):
                    for array in arrays.values():
                        array[i] *= 2
            return Outputs(arrays)

    monkeypatch.setattr(onnx_export, "OrtBackend", Erring)
    made = onnx_export._to_onnx(onnx_export._Deployed(network, card).eval(), torch.from_numpy(batch[:2].copy()))
    monkeypatch.setattr(onnx_export, "_to_onnx", lambda *_: type(made).FromString(made.SerializeToString()))
    for wrong in range(10):
        errs_on[0] = wrong
        with pytest.raises(ExportError, match="differs from torch"):
            export_onnx(network, card, tmp_path / "m.onnx", batch, weights="float32")
    assert min(sizes) == 1  # alone and in a batch: the graph's batch axis is free
    assert max(sizes) > 1
    assert list(tmp_path.iterdir()) == []


class _Restless(nn.Module):
    """Says something else each time: what an export of it computes can not be what torch computes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.calls = inner, 0

    def forward(self, images):
        self.calls += 1
        return {k: v + float(self.calls) for k, v in self.inner(images).items()}


def test_a_model_that_differs_is_not_written(network_and_card, tmp_path, rng):
    network, card = network_and_card
    with pytest.raises(ExportError, match="differs from torch"):
        export_onnx(_Restless(network), card, tmp_path / "m.onnx", crops(rng, card), weights="float32")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_gives_no_numbers_is_not_written(network_and_card, tmp_path, rng):
    network, card = network_and_card
    with torch.no_grad():
        network.head.project.bias.fill_(float("nan"))
    with pytest.raises(ExportError):
        export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_earlier_file(network_and_card, tmp_path, rng):
    network, card = network_and_card
    export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card))
    before = (tmp_path / "m.onnx").read_bytes()
    with pytest.raises(ExportError):
        export_onnx(_Restless(network), card, tmp_path / "m.onnx", crops(rng, card))
    assert (tmp_path / "m.onnx").read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((2, 64, 64, 3), np.float32),
        np.zeros((2, 64, 96, 3), np.uint8),  # not the size that the card promises
        np.zeros((2, 64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
    ],
)
def test_export_needs_real_crops_to_compare_on(network_and_card, tmp_path, wrong):
    network, card = network_and_card
    with pytest.raises(ExportError, match="crops"):
        export_onnx(network, card, tmp_path / "m.onnx", wrong)
