"""Quantised graphs: close to the float network, and its parameters can be taken from them by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import onnx
from torch import nn

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import ExportError, WeightsError
from vitruvian.export import export_onnx
from vitruvian.export.quantise import _scale_of, quantise
from vitruvian.models import build_model
from vitruvian.predict.backends import BACKENDS, load_backend
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.weights import Card
from vitruvian.weights.card import INT8_RECORD
from vitruvian.weights.checkpoint import load_into, read_card, read_state
from vitruvian.weights.onnx_file import write_card, write_model

_SIZE = (64, 64)
_FAMILIES = {
    "compact": ({"widths": (8, 16, 16, 16), "neck": (16, 16), "depths": (1, 1, 1)}, HeatmapCodec(_SIZE)),
    "compact with context": ({"widths": (8, 16, 16, 16), "neck": (16, 16), "context": 2}, HeatmapCodec(_SIZE)),
    "compact stacked": ({"widths": (8, 16, 16, 16), "neck": (16, 16), "stacks": 2}, HeatmapCodec(_SIZE, presence=True)),
    "rtmpose_t": ({"width": 8, "hidden": 32, "keys": 16}, SimccCodec(_SIZE, temperature=0.1)),
    "simple_baseline_18": ({"width": 8}, HeatmapCodec(_SIZE)),
}


def _made(folder, rng, family):
    """A network with batch norms that do something, crops, and the network's float and int8 files."""
    options, codec = _FAMILIES[family]
    family = family.split()[0]
    card = Card(family, family, VITRUVIAN19, Preprocess(_SIZE), codec, options)
    network = build_model(family, len(VITRUVIAN19), codec, **options)
    _stir(network, rng)
    crops = rng.integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
    export_onnx(network, card, folder / "float.onnx", crops[:2], weights="float32")
    quantise(folder / "float.onnx", folder / "int8.onnx", crops)
    write_card(folder / "int8.onnx", folder / "int8.onnx", replace(card, provenance={INT8_RECORD: {}}))
    return network.eval(), crops, folder


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    """As `_made`, once, with one channel that does nothing and one that its batch norm multiplies by 0."""
    torch.manual_seed(0)
    return _made(tmp_path_factory.mktemp("compact"), np.random.default_rng(0), "compact")


def _stir(network, rng):
    """Batch norms with factors of either sign, and statistics that are not those of fresh ones."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                count = layer.num_features
                factor = rng.uniform(0.5, 1.5, count) * rng.choice([-1, 1], count)
                layer.weight.copy_(torch.from_numpy(factor))
                layer.bias.copy_(torch.from_numpy(rng.normal(0, 0.2, count)))
                layer.running_mean.copy_(torch.from_numpy(rng.normal(0, 0.2, count)))
                layer.running_var.copy_(torch.from_numpy(rng.uniform(0.2, 1.5, count)))
        if hasattr(network, "stage8"):
            network.stage8[0][1].weight[3] = 0
            network.stage16[0][1].weight[2] = 0
            network.stage16[0][0].weight[2] = 0


def test_a_file_without_a_scale_is_named(compact, tmp_path):
    model = onnx.load(str(compact[2] / "int8.onnx"))
    scale = next(t for t in model.graph.initializer if t.name.endswith(".int8_scale"))
    model.graph.initializer.remove(scale)
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(WeightsError, match=rf"m\.onnx.*'{scale.name}'"):
        read_state(tmp_path / "m.onnx")


def test_weights_come_back_within_half_a_step(compact):
    """A channel's step is its largest weight over 64; batch norms come back as they were."""
    network, _, folder = compact
    got, whole = read_state(folder / "int8.onnx"), []
    for name, tensor in network.state_dict().items():
        value = tensor.numpy()
        if name.endswith("num_batches_tracked"):
            continue
        assert got[name].dtype == np.float32
        if np.array_equal(got[name], value):
            whole += [name] if value.ndim == 4 else []
            continue
        assert value.ndim == 4, name
        step = np.abs(value).max(axis=(1, 2, 3), keepdims=True) / 64
        steps = got[name] / np.where(step == 0, 1, step)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4, err_msg=name)
        assert (np.abs(got[name] - value) <= 0.501 * step).all(), name
    # The last layer is never quantised; a batch norm that multiplies by 0 leaves nothing to read a channel from.
    assert whole == ["stage8.0.0.weight", "head.project.weight"]


def test_fewer_bits_are_longer_steps(compact, tmp_path):
    """Of 32 to a side instead of 64: the weights that are read back are whole numbers of these, and the file, once it
    is compressed, is smaller. More than there are is an error."""
    network, crops, folder = compact
    quantise(folder / "float.onnx", tmp_path / "six.onnx", crops, weight_bits=6)
    got, seven = read_state(tmp_path / "six.onnx"), read_state(folder / "int8.onnx")
    names = [
        name for name, p in network.named_parameters() if p.ndim == 4 and not np.array_equal(seven[name], p.detach())
    ]
    assert len(names) > 5
    for name in names:
        value = network.state_dict()[name].numpy()
        step = np.abs(value).max(axis=(1, 2, 3), keepdims=True) / 32
        steps = got[name] / np.where(step == 0, 1, step)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4, err_msg=name)
        assert (np.abs(got[name] - value) <= 0.501 * step).all(), name
    sizes = [
        write_model(tmp_path / "m.onnx.gz", path.read_bytes()).stat().st_size
        for path in (tmp_path / "six.onnx", folder / "int8.onnx")
    ]
    assert sizes[0] < 0.95 * sizes[1]
    with pytest.raises(ExportError, match="from 2 to 8, got 9"):
        quantise(folder / "float.onnx", tmp_path / "nine.onnx", crops, weight_bits=9)


def test_scales(rng):
    """Of integers that were multiplied channel by channel, along any axis, on their way into the graph."""
    shape, axis = tuple(rng.integers(2, 6, 4)), int(rng.integers(4))
    floats = rng.normal(size=shape).astype(np.float32)
    others = tuple(i for i in range(4) if i != axis)
    step = np.abs(floats).max(axis=others, keepdims=True) / 64
    sign = rng.choice([-1, 1], step.shape)
    found = _scale_of(floats, np.round(sign * floats / step).astype(np.int8), axis)
    assert found is not None
    np.testing.assert_allclose(found, sign * step, rtol=1e-6)
    assert _scale_of(floats, rng.permuted(np.round(floats / step)).astype(np.int8), axis) is None
    assert _scale_of(floats, np.zeros((*shape, 1), np.int8), axis) is None
    whole = _scale_of(floats, np.round(floats / step.max()).astype(np.int8), None)
    np.testing.assert_allclose(whole, step.max().reshape(1, 1, 1, 1), rtol=1e-6)


@pytest.mark.parametrize("family", sorted({*_FAMILIES} - {"compact"}))
def test_a_network_can_be_made_of_the_file(tmp_path, rng, family):
    """Of every kind of layer; what could not be made small is there as it was."""
    network, *_ = _made(tmp_path, rng, family)
    options, codec = _FAMILIES[family]
    again = build_model(family.split()[0], len(VITRUVIAN19), codec, **options)
    assert load_into(again, tmp_path / "int8.onnx") == []
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            off = float((again.state_dict()[name] - tensor).abs().max())
            assert off <= 0.501 * float(tensor.abs().max()) / 64, name
    if "context" in family:  # linear layers compute with transposed weights, of which there is no second copy
        stored = {tensor.name for tensor in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer}
        assert "context.0.qkv.weight.int8_transposed" in stored
        assert "context.0.qkv.weight" not in stored


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_every_runtime_reads_it(compact, name):
    """Runtimes round activations in different places, torch not at all: the maps agree to a tenth of their spread."""
    pytest.importorskip(name)
    network, crops, folder = compact
    with torch.no_grad():
        expected = network(torch.from_numpy(Preprocess(_SIZE).normalise(crops)))["heatmaps"].numpy()
    backend = load_backend(folder / "int8.onnx", name, threads=1)
    got = backend.run(crops).arrays["heatmaps"]
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.1 * expected.std()
    assert ("float32" if name == "torch" else "int8") in backend.description
    backend.close()


def test_fine_tuning_starts_from_it_and_floats_say_so(compact, tmp_path):
    """An export to floats has the same weights, and does not claim to be int8."""
    _, crops, folder = compact
    card = read_card(folder / "int8.onnx")
    network = build_model("compact", len(VITRUVIAN19), card.codec, **card.options)
    load_into(network, folder / "int8.onnx")
    export_onnx(network, card, tmp_path / "again.onnx", crops[:2], weights="float32")
    again = read_card(tmp_path / "again.onnx")
    assert (card.precision, again.precision) == ("int8", "float32")
    assert again.provenance == {"weights_were_int8": {}}
    expected, got = network.state_dict(), read_state(tmp_path / "again.onnx")
    for name in expected:
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(got[name], expected[name].numpy(), name)


def test_the_shipped_model_is_the_same_in_torch():
    """Its maps of drawn people, to a hundredth of the highest peak."""
    from vitruvian.geometry import boxes
    from vitruvian.synth import render
    from vitruvian.weights.zoo import find_weights

    runtimes = [load_backend(find_weights("vitruvian-s"), name, threads=1) for name in ("onnxruntime", "torch")]
    images = [render(0, i, (160, 208)) for i in range(4)]
    crop = runtimes[0].card.preprocess.crop
    crops = np.stack([crop(image, boxes.whole_image((image.shape[1], image.shape[0])))[0] for image in images])
    got, expected = (runtime.run(crops).arrays["heatmaps"] for runtime in runtimes)
    assert expected.max() > 0.2
    assert np.sqrt(((got - expected) ** 2).mean()) < 0.01 * expected.max()
