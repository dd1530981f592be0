"""Checkpoints: safetensors with a card, written whole or not at all; nothing is ever unpickled."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from vitruvian.errors import WeightsError
from vitruvian.models import build_model
from vitruvian.weights import checkpoint
from vitruvian.weights.checkpoint import load_into, read_card, read_state, save_checkpoint


def network_of(path, joints=None, **options):
    card = read_card(path)
    return build_model(card.model, joints or len(card.skeleton), card.codec, **{**card.options, **options})


def test_weights_and_card_survive_the_file(tiny_checkpoint, tmp_path):
    source = tiny_checkpoint / "best.safetensors"
    network = network_of(source)
    torch.nn.init.normal_(network.stem[0][0].weight)
    save_checkpoint(tmp_path / "a" / "w.safetensors", network.state_dict(), read_card(source))
    again = network_of(source)
    assert load_into(again, tmp_path / "a" / "w.safetensors") == []
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert read_card(tmp_path / "a" / "w.safetensors") == read_card(source)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["w.safetensors"]


def test_an_interrupted_write_leaves_the_earlier_file(tiny_checkpoint, tmp_path, monkeypatch):
    source, target = tiny_checkpoint / "best.safetensors", tmp_path / "w.safetensors"
    state = network_of(source).state_dict()
    save_checkpoint(target, state, read_card(source))
    before = target.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(target, {k: v + 1 for k, v in state.items()}, read_card(source))
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_another_head_is_an_error_unless_asked_for(tiny_checkpoint):
    source = tiny_checkpoint / "best.safetensors"
    with pytest.raises(WeightsError, match=r"head\.project"):
        load_into(network_of(source, joints=5), source)
    other = network_of(source, joints=5)
    fresh = other.head.project.weight.clone()
    assert sorted(load_into(other, source, strict=False)) == ["head.project.bias", "head.project.weight"]
    assert torch.equal(other.head.project.weight, fresh)
    np.testing.assert_array_equal(other.stem[0][0].weight.detach(), read_state(source)["stem.0.0.weight"])


def test_a_refused_file_leaves_the_network_as_it_was(tiny_checkpoint):
    network = network_of(tiny_checkpoint / "best.safetensors", joints=5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError):
        load_into(network, tiny_checkpoint / "best.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_a_deeper_networks_file_is_refused(kind, tiny_checkpoint, tiny_model):
    """Its first blocks fit by name and shape; the others would be dropped without a word."""
    source = tiny_checkpoint / "best.safetensors"
    shallow = network_of(source, depths=(1, 1, 0))
    path = source if kind == "safetensors" else tiny_model
    with pytest.raises(WeightsError, match=r"stage32\.1\.\S+ .*has no place"):
        load_into(shallow, path)
    assert load_into(shallow, path, strict=False) == []
    np.testing.assert_array_equal(shallow.stage32[0][0].weight.detach(), read_state(path)["stage32.0.0.weight"])


def test_everyone_may_read_what_was_written(tiny_checkpoint, tmp_path):
    source = tiny_checkpoint / "best.safetensors"
    save_checkpoint(tmp_path / "w.safetensors", network_of(source).state_dict(), read_card(source))
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


def test_half_precision_files_widen_into_a_network(tiny_checkpoint, tmp_path):
    source = tiny_checkpoint / "best.safetensors"
    state = network_of(source).state_dict()
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_checkpoint(tmp_path / "w.safetensors", half, read_card(source))
    network = network_of(source)
    load_into(network, tmp_path / "w.safetensors")
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, half[name].to(tensor.dtype)), name


def test_an_onnx_model_gives_the_weights_rounded_to_half(tiny_checkpoint, tiny_model):
    expected, got = read_state(tiny_checkpoint / "best.safetensors"), read_state(tiny_model)
    compared = 0
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            continue
        assert got[name].dtype == np.float32
        large = value.size >= 256 and value.ndim > 1
        np.testing.assert_array_equal(got[name], value.astype(np.float16).astype(np.float32) if large else value, name)
        compared += 1
    assert compared > 50
    assert load_into(network_of(tiny_checkpoint / "best.safetensors"), tiny_model) == []


class _Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("name", ["bomb.safetensors", "bomb.onnx"])
def test_a_pickle_is_refused_and_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(_Bomb()))
    for reader in (read_card, read_state):
        with pytest.raises(WeightsError, match=name):
            reader(path)
    assert not (tmp_path / "exploded").exists()


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such"):
        read_card(tmp_path / "gone.safetensors")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3, np.float32)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(WeightsError, match="no Vitruvian card"):
        read_state(tmp_path / "foreign.safetensors")
