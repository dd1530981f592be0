"""Where a result came from: commit, date, machine, versions and command, for cards and benchmark files."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def provenance(recipe: Any = None) -> dict[str, Any]:
    """Plain data; ``recipe`` (a `Recipe`) is included when given. Paths of this machine are left out."""
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "machine": f"{_cpu()}, {os.cpu_count()} cores",
        "versions": {n: v for n in ("vitruvian", "numpy", "torch", "lightning", "onnxruntime") if (v := _version(n))},
    }
    if recipe is not None:
        found["recipe"] = recipe.model_dump(mode="json")
    return portable(found)


def portable(value: Any) -> Any:
    """Plain data with the folders of absolute paths cut off: ``init=/a/b/best.onnx`` -> ``init=best.onnx``."""
    if isinstance(value, dict):
        return {k: portable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [portable(v) for v in value]
    return _FOLDERS.sub("", value) if isinstance(value, str) else value


_FOLDERS = re.compile(r"(?<![^\s=\[,:'\"])(?:[A-Za-z]:)?[/\\](?:[^\s/\\]+[/\\])+")
"""From the start of a word, or after ``=`` and the like, to the last separator; addresses (``https://...``) stay."""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """The repository's commit, with ``+`` when tracked files were changed; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
