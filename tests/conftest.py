"""Fixtures shared by all tests: fresh randomness that can be repeated, and the real data where it exists."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fresh seed, printed so that a failure can be repeated (VITRUVIAN_TEST_SEED=number)."""
    seed = int(os.environ.get("VITRUVIAN_TEST_SEED") or np.random.SeedSequence().generate_state(1)[0])
    print(f"seed: {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos and annotations; tests that need it are skipped where it does not exist."""
    path = Path(os.environ.get("VITRUVIAN_SHARED_DATA") or _ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"the real data is not here ({path.name} not found; set VITRUVIAN_SHARED_DATA to its folder)")
    return path


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """Imports ``tools/NAME.py``, which is no part of the package."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, _ROOT / "tools" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as training leaves it, of a network with fresh weights that is too small to find anything."""
    torch = pytest.importorskip("torch")
    from vitruvian.codecs import HeatmapCodec
    from vitruvian.models import build_model
    from vitruvian.preprocess import Preprocess
    from vitruvian.skeletons import VITRUVIAN19
    from vitruvian.weights.card import Card
    from vitruvian.weights.checkpoint import save_checkpoint

    size_wh = (64, 64)
    options = {"widths": (8, 16, 16, 16), "neck": (16, 16), "depths": (1, 1, 1)}
    codec = HeatmapCodec(size_wh=size_wh, activation="softmax")
    card = Card(
        name="tiny",
        model="compact",
        skeleton=VITRUVIAN19,
        preprocess=Preprocess(size_wh=size_wh),
        codec=codec,
        options=options,
        data=({"name": "nothing", "use": "none", "terms": "none", "people": 0},),
        notes="For tests.",
    )
    torch.manual_seed(1)
    network = build_model("compact", len(VITRUVIAN19), codec, **options)
    with torch.no_grad():  # heads start near zero, where every pixel would tie with its neighbours
        network.head.project.weight.mul_(300)
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_checkpoint(folder / "best.safetensors", network.state_dict(), card)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of `tiny_checkpoint` as an ONNX file: for what has to run, not to be right."""
    pytest.importorskip("onnxscript")
    from vitruvian.export import export_onnx
    from vitruvian.models import build_model
    from vitruvian.weights.checkpoint import load_into, read_card

    weights = tiny_checkpoint / "best.safetensors"
    card = read_card(weights)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, weights)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    export_onnx(network, card, path, crops)
    return path


@pytest.fixture
def one_person_onnx(tmp_path: Path) -> Path:
    """A detector of another maker, in YOLO's later layout: whatever it sees, one person stands in the left half."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx.numpy_helper")
    answer = np.array([[[32.0], [32.0], [24.0], [60.0], [0.75]]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "answer"], ["found"]),
    ]
    constants = [numpy_helper.from_array(answer, "answer"), numpy_helper.from_array(np.float32([0.0]), "nothing")]
    taken = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    given = helper.make_tensor_value_info("found", onnx.TensorProto.FLOAT, [1, 5, 1])
    graph = helper.make_graph(nodes, "detector", [taken], [given], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "detector.onnx"
    path.write_bytes(model.SerializeToString())
    return path
