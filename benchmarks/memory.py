"""Resident memory of ``vitruvian predict`` on a folder of 1,000 images: it must stay flat."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from .common import photo


def run(images: int = 1000) -> dict[str, Any]:
    """Run the command itself, pictures and result file included, and read its memory ten times a second."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        image = Image.fromarray(photo(640, 480))
        for i in range(images):
            image.save(photos / f"{i:04}.jpg", quality=85)
        command = [
            sys.executable,
            "-m",
            "vitruvian",
            "predict",
            str(photos),
            "--out",
            f"{folder}/out",
            "--threads",
            "2",
        ]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        readings = []
        while process.poll() is None:
            try:
                readings.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
        seconds = time.perf_counter() - started
        if process.wait() != 0:
            raise RuntimeError(f"the command ended with {process.returncode}")
    tenth = max(1, len(readings) // 10)
    second, last = max(readings[tenth : 2 * tenth]), max(readings[-tenth:])
    return {
        "images": images,
        "image_size": "640x480",
        "drawn": True,
        "seconds": round(seconds, 1),
        "peak_mb": round(max(readings), 1),
        "peak_mb_of_each_tenth": [round(max(readings[i * tenth : (i + 1) * tenth]), 1) for i in range(10)],
        "growth_mb_second_to_last_tenth": round(last - second, 1),
    }
