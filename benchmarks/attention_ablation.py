"""Does attention help, and what does it cost? Each kind and scope against none, three seeds, on sports people.

Every arm is `recipes/attention-lsp.yaml` with another kind and scope of attention: the same photos in the same order
with the same augmentation, from random weights. The best epoch is chosen on 4 % of lspet/train; lspet/dev is looked at
once, for that epoch, without the flip test. An arm whose loss diverges is a result, and recorded. Arms that a cut-off
run has finished are not run again. The kinds with both scopes come first, then softmax's and CRF's other scopes.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitruvian import train
from vitruvian.codecs import codec_from_dict
from vitruvian.data import dataset
from vitruvian.export.onnx import export_onnx
from vitruvian.models import build_model
from vitruvian.predict.backends import BACKENDS
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import get_skeleton
from vitruvian.training import Recipe
from vitruvian.weights.card import Card

from .common import alternate, compared, dev_pck, lspet_dev, runs_left, save, unfinished

_RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "attention-lsp.yaml"
_CONTROL = ("none", "both")
_ARMS = (_CONTROL, *((kind, "both") for kind in ("softmax", "crf", "gaussian", "stn")))
_MORE_ARMS = tuple((kind, scope) for kind in ("softmax", "crf") for scope in ("holistic", "part"))
_SEEDS = (0, 1, 2)
_THREADS, _BATCHES, _REPEATS = 2, (1, 8), 15
_FULL = {"size_wh": (192, 256), "width": 256}
"""The size at which ResNets with deconvolutions are used; its times are measured as well, on random weights."""


def run() -> dict[str, Any]:
    """All arms and seeds; the result is also written after each run, marked unfinished."""
    dataset.read_image = functools.cache(dataset.read_image)  # all runs see the same photos
    recipe = _recipe()
    setting = {
        "model": f"{recipe.model.name}, {recipe.model.options['width']} channels",
        "input_wh": list(recipe.input.size_wh),
        "epochs": recipe.epochs,
        "metric": "PCK@0.2 (torso, 12 limb joints), lspet/dev, ground-truth boxes, single pass",
    }
    before = unfinished("attention_ablation", setting)
    result = {"finished": False, **setting, "cost": before.get("cost") or _costs(recipe), "arms": [], "runs": []}
    done: list[dict[str, Any]] = before.get("runs", [])
    sports = lspet_dev()
    arms = {_name(*arm): arm for arm in (*_ARMS, *_MORE_ARMS)}
    todo = [(seed, _name(*arm)) for some in (_ARMS, _MORE_ARMS) for seed in _SEEDS for arm in some]
    tables = lambda: {"arms": compared(done, _name(*_CONTROL), list(arms)), "runs": done}  # noqa: E731
    for _ in runs_left(done, todo, lambda seed, name: _measure(_recipe(*arms[name], seed), sports)):
        save("attention_ablation", result | tables())
    return {**result, **tables(), "finished": True}


def _name(kind: str, scope: str) -> str:
    return kind if kind == "none" else f"{kind}, {scope}"


def _recipe(kind: str = "none", scope: str = "both", seed: int = 0, out: str = "runs") -> Recipe:
    options = (f"model.options.kind={kind}", f"model.options.scope={scope}")
    return Recipe.load(_RECIPE, [*options, f"seed={seed}", f"out={out}"])


def _measure(recipe: Recipe, sports: list[Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return dev_pck(train(recipe.model_copy(update={"out": folder})), sports)


def _costs(recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters and times of every arm, at the recipe's size and at `_FULL`."""
    width = recipe.model.options["width"]
    return [*_cost(recipe, recipe.input.size_wh, width), *_cost(recipe, _FULL["size_wh"], _FULL["width"])]


def _cost(recipe: Recipe, size_wh: tuple[int, int], width: int) -> list[dict[str, Any]]:
    """Milliseconds a person on ONNX Runtime, all arms in turns in this one process, and their ratio to none's."""
    skeleton, codec = get_skeleton(recipe.skeleton), codec_from_dict({**recipe.codec, "size_wh": list(size_wh)})
    crops = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), size_wh[1], size_wh[0], 3), dtype=np.uint8)
    backends, parameters = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, scope in (*_ARMS, *_MORE_ARMS):
            name, options = _name(kind, scope), {**recipe.model.options, "kind": kind, "scope": scope, "width": width}
            torch.manual_seed(0)
            network = build_model(recipe.model.name, len(skeleton), codec, **options)
            card = Card(name, recipe.model.name, skeleton, Preprocess(size_wh=size_wh), codec, options)
            file = Path(folder) / f"{kind}-{scope}.onnx"
            export_onnx(network, card, file, crops[:2])
            backends[name], parameters[name] = BACKENDS["onnxruntime"](file, _THREADS), _parameters(network)
    tasks = {(name, n): functools.partial(b.run, crops[:n]) for name, b in backends.items() for n in _BATCHES}
    times = alternate(tasks, _REPEATS)
    plain = _name(*_CONTROL)
    rows = []
    for name, backend in backends.items():
        backend.close()
        row: dict[str, Any] = {"arm": name, "input_wh": list(size_wh), "width": width, "parameters": parameters[name]}
        for n in _BATCHES:
            row[f"ms_per_person_batch_{n}"] = round(times[name, n] / n, 3)
            row[f"over_none_batch_{n}"] = round(times[name, n] / times[plain, n], 3)
        rows.append(row)
    return rows


def _parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
