"""The light core's size, number of packages and import time, in a fresh virtual environment."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_IMPORT = "import time; t = time.perf_counter(); import vitruvian; print(time.perf_counter() - t)"
_TORCH = "import sys, vitruvian; print('torch' in sys.modules)"


def run() -> dict[str, Any]:
    """Install into a temporary environment and measure; pip itself and what venv brings are not counted."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(root)], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=False)
        listed = json.loads(subprocess.check_output([python, "-m", "pip", "list", "--format", "json"]))
        packages = sorted(p["name"] for p in listed if p["name"] != "pip")
        site = next((Path(folder) / "lib").glob("python*/site-packages"))
        sizes = {
            p.name: _megabytes(p) for p in site.iterdir() if not p.name.startswith(("pip", "_distutils", "distutils"))
        }
        seconds = [float(subprocess.check_output([python, "-c", _IMPORT], cwd=folder)) for _ in range(11)]
        torch_imported = subprocess.check_output([python, "-c", _TORCH], cwd=folder, text=True).strip() == "True"
    largest = dict(sorted(sizes.items(), key=lambda item: -item[1])[:8])
    return {
        "site_packages_mb": round(sum(sizes.values()), 1),
        "packages": packages,
        "package_count": len(packages),
        "largest_mb": {k: round(v, 1) for k, v in largest.items()},
        "import_seconds_median": round(statistics.median(seconds), 4),
        "torch_imported": torch_imported,
    }


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(p.stat().st_size for p in files) / 1e6
