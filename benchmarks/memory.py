"""Resident memory while `vitruvian predict` works through a folder of 1,000 images: it must stay flat."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from vitruvian import load

from .common import photo


def run(images: int = 1000) -> dict[str, Any]:
    """Stream 1,000 files of 1280 x 960 pixels and read the process's resident memory along the way."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "0000.jpg"
        Image.fromarray(photo(1280, 960)).save(first, quality=85)
        for i in range(1, images):
            (Path(folder) / f"{i:04}.jpg").symlink_to(first)
        paths = sorted(Path(folder).glob("*.jpg"))
        readings: dict[str, float] = {}
        with load("default", threads=2) as predictor:
            for i, _ in enumerate(predictor.stream(paths), start=1):
                if i in (50, 100, 250, 500, 750, 1000) or i == images:
                    readings[str(i)] = round(process.memory_info().rss / 1e6, 1)
    values = list(readings.values())
    return {
        "images": images,
        "image_size": "1280x960",
        "resident_mb_after": readings,
        "growth_mb_100_to_end": round(values[-1] - readings.get("100", values[0]), 1),
    }
