"""ONNX files, plain and compressed."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from vitruvian.errors import WeightsError
from vitruvian.predict.backends import BACKENDS, load_backend
from vitruvian.weights.checkpoint import read_card, read_state
from vitruvian.weights.onnx_file import is_onnx, read_model, write_card, write_model
from vitruvian.weights.zoo import find_weights


@pytest.fixture
def packed(tiny_model: Path, tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.onnx.gz", tiny_model.read_bytes())


def test_a_compressed_model_is_smaller_and_the_same(tiny_model: Path, packed: Path) -> None:
    """Any gzip reads it, and the same model makes the same file, so that a commit of it changes when it does."""
    assert packed.stat().st_size < tiny_model.stat().st_size
    assert gzip.decompress(packed.read_bytes()) == tiny_model.read_bytes() == read_model(packed)
    assert write_model(packed.with_name("again.onnx.gz"), tiny_model.read_bytes()).read_bytes() == packed.read_bytes()


def test_what_other_tools_have_packed_is_read(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.ONNX.GZ"
    path.write_bytes(gzip.compress(tiny_model.read_bytes(), 1))
    assert is_onnx(path)
    assert find_weights(path) == path
    assert read_card(path) == read_card(tiny_model)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_finds_the_same_in_it(
    backend: str, tiny_model: Path, packed: Path, rng: np.random.Generator
) -> None:
    crops = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)  # more than one: ONNX Runtime opens it twice
    expected, found = (load_backend(path, backend, threads=2).run(crops).arrays for path in (tiny_model, packed))
    assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_weights_and_cards_go_both_ways(tiny_model: Path, packed: Path) -> None:
    state = read_state(packed)
    assert state.keys() == read_state(tiny_model).keys()
    assert all(np.array_equal(state[name], array) for name, array in read_state(tiny_model).items())
    card = replace(read_card(packed), notes="other")
    for name in ("out.onnx.gz", "out.onnx"):
        out = write_card(packed, packed.with_name(name), card)
        assert read_card(out) == card
        assert (out.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_broken_file_is_named(packed: Path, cut: int) -> None:
    """Nothing at all, a part of the header, of the data, and without the last byte of the checksum."""
    packed.write_bytes(packed.read_bytes()[:cut])
    for reader in (read_card, read_state, find_and_load):
        with pytest.raises(WeightsError, match=r"tiny\.onnx\.gz is not an ONNX model that can be read") as caught:
            reader(packed)
        assert str(caught.value).count("can be read") == 1


def test_what_was_packed_in_pieces_is_read_whole(tiny_model: Path, tmp_path: Path) -> None:
    """As parallel packers do, one gzip stream after the other."""
    blob = tiny_model.read_bytes()
    path = tmp_path / "pieces.onnx.gz"
    path.write_bytes(gzip.compress(blob[:1000]) + gzip.compress(blob[1000:]))
    assert read_model(path) == blob


def find_and_load(path: Path) -> object:
    return load_backend(find_weights(path))


def test_what_is_no_gzip_is_named(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx.gz"
    path.write_bytes(tiny_model.read_bytes())
    with pytest.raises(WeightsError, match="Not a gzipped file"):
        load_backend(path)
