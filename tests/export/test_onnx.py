"""ONNX export: numbers as in torch, or no file."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn

from vitruvian.errors import ExportError
from vitruvian.export import export_onnx
from vitruvian.models import build_model
from vitruvian.predict.backends import OrtBackend
from vitruvian.weights.checkpoint import load_into, read_card


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
    report = export_onnx(network, card, tmp_path / "m.onnx", crops(rng, card), half_weights=False)
    assert report.bytes == (tmp_path / "m.onnx").stat().st_size
    assert report.max_output_difference < 1e-4
    assert report.crops == 5
    backend = OrtBackend(tmp_path / "m.onnx", threads=1)
    assert backend.card == card
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
    whole = export_onnx(network, card, tmp_path / "whole.onnx", crops(rng, card), half_weights=False)
    half = export_onnx(network, card, tmp_path / "half.onnx", crops(rng, card))
    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1 and p.numel() >= 256)
    assert whole.bytes - half.bytes == pytest.approx(2 * weights, rel=0.15)
    assert half.max_output_difference < 1e-4, "the check compares with equally rounded weights"


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
        export_onnx(_Restless(network), card, tmp_path / "m.onnx", crops(rng, card), half_weights=False)
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


@pytest.mark.parametrize("wrong", [np.zeros((0, 64, 64, 3), np.uint8), np.zeros((2, 64, 64, 3), np.float32)])
def test_export_needs_real_crops_to_compare_on(network_and_card, tmp_path, wrong):
    network, card = network_and_card
    with pytest.raises(ExportError, match="crops"):
        export_onnx(network, card, tmp_path / "m.onnx", wrong)
