"""Milliseconds a person of the shipped model at batch 1 and 8, as shipped and in floats, against a matrix product in
the same run, and where the time from photo to joints goes."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitruvian import load
from vitruvian.data import read_image
from vitruvian.predict.backends import BACKENDS, Backend
from vitruvian.predict.backends.openvino_backend import OpenVinoBackend
from vitruvian.weights.zoo import find_weights

from .common import alternate, photo

_THREADS = 2
_SIDE = 2048


def in_floats(source: Path, path: Path) -> float:
    """Write the model of ``source`` to ``path`` in floats; 2 x multiply-adds of one crop, counted from the graph."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from vitruvian.export import export_onnx
    from vitruvian.models import build_model
    from vitruvian.weights.checkpoint import load_into, read_card

    card = read_card(source)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options).eval()
    load_into(network, source)
    width, height = card.preprocess.size_wh
    export_onnx(network, card, path, np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, height, width))
    return counter.get_total_flops() / 1e9


def run() -> dict[str, Any]:
    """Everything with 2 threads, medians of turns taken alternately."""
    shipped = find_weights("default")
    with tempfile.TemporaryDirectory() as folder:
        floats = Path(folder) / "float.onnx"
        work = in_floats(shipped, floats)
        backends: dict[str, Backend] = {
            "onnxruntime float32": BACKENDS["onnxruntime"](floats, _THREADS),
            "openvino float32": BACKENDS["openvino"](floats, _THREADS),
            "openvino auto precision": OpenVinoBackend(floats, _THREADS, precision="auto"),
        }
        for runtime in ("onnxruntime", "openvino"):
            backend = BACKENDS[runtime](shipped, _THREADS)
            backends[f"{runtime} {backend.card.precision}, as shipped"] = backend
        return _measure(backends, work)


def _measure(backends: dict[str, Backend], work: float) -> dict[str, Any]:
    card = next(iter(backends.values())).card
    width, height = card.preprocess.size_wh
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (8, height, width, 3), dtype=np.uint8)
    matrix = rng.standard_normal((_SIDE, _SIDE), dtype=np.float32)
    tasks: dict[str, Any] = {"matrix product": lambda: matrix @ matrix}
    for name, backend in backends.items():
        for count in (1, 8):
            tasks[f"{name}, batch {count}"] = lambda b=backend, n=count: b.run(crops[:n])
    times = alternate(tasks, repeats=30)
    product = 2 * _SIDE**3 / 1e6 / times.pop("matrix product")
    rows = []
    for name, milliseconds in times.items():
        runtime, batch = name.rsplit(", batch ", 1)
        each = milliseconds / int(batch)
        rate = work / each * 1e3
        rows.append(
            {
                "runtime": runtime,
                "batch": int(batch),
                "ms_per_person": round(each, 2),
                "gflops": round(rate, 1),
                "share_of_matrix_product": round(rate / product, 3),
            }
        )
    return {
        "model": card.name,
        "gflop_per_person": round(work, 3),
        "threads": _THREADS,
        "matrix_product_gflops": round(product, 1),
        "network": rows,
        "end_to_end": _stages(),
    }


def _stages() -> dict[str, Any]:
    """A 640 x 480 JPEG with eight people: milliseconds of each step, and of `Predictor.predict` as a whole."""
    predictor = load("default", threads=_THREADS)
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "JPEG", quality=90)
    jpeg = buffer.getvalue()
    image = read_image(jpeg)
    boxes = np.array([[20 + 70 * i, 60 + 5 * i, 130 + 70 * i, 400 + 5 * i] for i in range(8)], dtype=np.float64)
    preprocess, codec = predictor.card.preprocess, predictor.card.codec
    crops = np.stack([preprocess.crop(image, box)[0] for box in boxes])
    outputs = predictor.backend.run(crops)
    times = alternate(
        {
            "decode the JPEG": lambda: read_image(jpeg),
            "crop": lambda: [preprocess.crop(image, box) for box in boxes],
            "network": lambda: predictor.backend.run(crops),
            "decode outputs": lambda: codec.decode(outputs),
            "whole predict()": lambda: predictor.predict(image, boxes),
            "photo to joints": lambda: predictor.predict(read_image(jpeg), boxes),
        },
        repeats=30,
    )
    around = 1 - times["network"] / times["photo to joints"]
    return {
        "people": len(boxes),
        "photo": "640x480 JPEG",
        "milliseconds": {k: round(v, 2) for k, v in times.items()},
        "share_outside_network": round(around, 4),
    }
