"""What benchmarks share: timing several things alternately, a photo, and writing results."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitruvian.provenance import provenance

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def save(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with where it came from."""
    record = {"benchmark": name, "provenance": {**provenance(), "command": f"python -m benchmarks {name}"}, **result}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def alternate(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each task; the tasks take turns, after one untimed turn each."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def photo(width: int = 640, height: int = 480) -> np.ndarray:
    """(H, W, 3) uint8: smooth colour fields with fine texture, as costly to compress and sample as a real photo."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
