"""Backends: the same numbers from every runtime, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import MissingExtraError, VitruvianError, WeightsError
from vitruvian.predict.backends import BACKENDS, load_backend

LIBRARIES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch"}


def test_the_table_equals_the_folder():
    from pathlib import Path

    import vitruvian.predict.backends as package

    files = {p.stem for p in Path(package.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {"ort", "torch_backend", "openvino_backend"}
    assert set(BACKENDS) == set(LIBRARIES)


@pytest.mark.parametrize("name", sorted(BACKENDS))
@pytest.mark.parametrize("count", [1, 5])
def test_all_agree_with_torch(name, count, tiny_model, rng):
    pytest.importorskip("torch")
    pytest.importorskip(LIBRARIES[name])
    reference, backend = load_backend(tiny_model, "torch", threads=1), load_backend(tiny_model, name, threads=1)
    assert backend.card == reference.card
    width, height = backend.card.preprocess.size_wh
    crops = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    expected, got = reference.run(crops).arrays, backend.run(crops).arrays
    assert got.keys() == expected.keys() == backend.card.codec.shapes(len(backend.card.skeleton)).keys()
    for key, value in expected.items():
        assert got[key].shape == value.shape
        np.testing.assert_allclose(got[key], value, atol=1e-4 * np.abs(value).max(), err_msg=key)
    for closed in (backend, reference):
        closed.close()
        closed.close()
        with pytest.raises(VitruvianError, match="this model was closed"):
            closed.run(crops)


def test_results_stay_when_the_next_batch_comes(tiny_model, rng):
    """A backend must not hand out a buffer that it writes to again."""
    for name in sorted(BACKENDS):
        pytest.importorskip(LIBRARIES[name])
        backend = load_backend(tiny_model, name, threads=1)
        first = backend.run(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)).arrays["heatmaps"]
        kept = first.copy()
        backend.run(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
        np.testing.assert_array_equal(first, kept, err_msg=name)


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_layout_in_memory_does_not_matter(name, tiny_model, rng):
    """Mirrored views, slices of a larger array, read-only pages: what counts is the values."""
    pytest.importorskip(LIBRARIES[name])
    backend = load_backend(tiny_model, name, threads=1)
    crops = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    wide = np.zeros((3, 64, 80, 3), np.uint8)
    wide[:, :, 8:72] = crops
    frozen = crops.copy()
    frozen.setflags(write=False)
    expected = backend.run(crops).arrays["heatmaps"]
    for view in (np.ascontiguousarray(crops[:, :, ::-1])[:, :, ::-1], wide[:, :, 8:72], frozen):
        np.testing.assert_allclose(backend.run(view).arrays["heatmaps"], expected, atol=1e-5 * np.abs(expected).max())
    assert expected.flags.writeable
    backend.close()


def test_a_checkpoint_goes_to_torch_by_itself(tiny_checkpoint):
    assert "torch" in load_backend(tiny_checkpoint / "best.safetensors").description


def test_refusals(tiny_checkpoint, tiny_model, tmp_path, monkeypatch):
    with pytest.raises(VitruvianError, match="unknown backend 'tensorrt'; known: onnxruntime"):
        load_backend(tiny_model, "tensorrt")
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(WeightsError, match="export"):
            load_backend(tiny_checkpoint / "best.safetensors", name)
    for name in BACKENDS:
        with pytest.raises(WeightsError, match=r"gone\.onnx"):
            load_backend(tmp_path / "gone.onnx", name)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_model.read_bytes()[:500])
    for name in BACKENDS:
        with pytest.raises(WeightsError, match=r"broken\.onnx"):
            load_backend(broken, name)
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"vitruvian\[openvino\]"):
        load_backend(tiny_model, "openvino")


def test_crops_on_threads_of_their_own_give_what_they_give_together(tiny_model, rng):
    from vitruvian.predict.backends import OrtBackend

    crops = rng.integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    together, apart, alone = (
        OrtBackend(tiny_model, 3, together=True),
        OrtBackend(tiny_model, 3),
        OrtBackend(tiny_model, 1),
    )
    wanted = together.run(crops).arrays
    for backend in (apart, apart, alone):  # twice: the second time the threads are there
        found = backend.run(crops).arrays
        assert list(found) == list(wanted)
        for name, array in found.items():
            np.testing.assert_allclose(array, wanted[name], atol=1e-5 * np.abs(wanted[name]).max())
    for backend in (together, apart, alone):
        backend.close()


def test_a_file_that_has_gone_is_needed_no_more(tiny_model, rng, tmp_path):
    """Like a temporary file that is deleted once it is loaded."""
    path = tmp_path / "moved.onnx"
    path.write_bytes(tiny_model.read_bytes())
    backend = load_backend(path, threads=2)
    width, height = backend.card.preprocess.size_wh
    crops = rng.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    path.unlink()
    together, kept = backend.run(crops), load_backend(tiny_model, threads=2)
    for name, array in kept.run(crops).arrays.items():
        np.testing.assert_allclose(together.arrays[name], array, atol=1e-5 * np.abs(array).max())
    backend.close()
    kept.close()
