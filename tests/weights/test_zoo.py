"""What a model's name or path stands for."""

from __future__ import annotations

import pytest

from vitruvian.errors import WeightsError
from vitruvian.weights import zoo
from vitruvian.weights.zoo import find_weights


def test_the_table_is_the_folder():
    assert set(zoo.ZOO.values()) == {path.name for path in zoo.FILES.glob("*.onnx*")}
    assert all(file == f"{name}.onnx.gz" for name, file in zoo.ZOO.items())
    assert zoo.DEFAULT in zoo.ZOO
    assert "default" not in zoo.ZOO


def test_names(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "FILES", tmp_path)
    with pytest.raises(WeightsError, match="missing from this installation"):
        find_weights("default")
    file = tmp_path / zoo.ZOO[zoo.DEFAULT]
    file.touch()
    assert find_weights("default") == find_weights(zoo.DEFAULT) == file


def test_paths(tmp_path, monkeypatch):
    for name in ("model.onnx", "model.safetensors"):
        (tmp_path / name).touch()
        assert find_weights(tmp_path / name) == tmp_path / name
    monkeypatch.chdir(tmp_path)
    assert str(find_weights("model.onnx")) == "model.onnx"


def test_run_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"best\.safetensors"):
        find_weights(tmp_path)
    (tmp_path / "best.safetensors").touch()
    assert find_weights(tmp_path) == tmp_path / "best.safetensors"


def test_errors_say_what_is_known(tmp_path):
    with pytest.raises(
        WeightsError, match=r"no model 'vitruvian-x'; did you mean 'vitruvian-s'\? Shipped: person-detector, "
    ):
        find_weights("vitruvian-x")
    with pytest.raises(WeightsError, match=r"no model 'qqq'\. Shipped"):
        find_weights("qqq")
    pickle = tmp_path / "model.pth"
    pickle.touch()
    with pytest.raises(WeightsError, match=r"\.onnx, \.onnx\.gz or \.safetensors files, got '\.pth'"):
        find_weights(pickle)
