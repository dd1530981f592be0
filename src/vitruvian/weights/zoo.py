"""The shipped models by name, and the one rule for what a model's name or path stands for.

Adding a shipped model: 1. add it to `ZOO` below; 2. ``python tools/ship.py RUN RECIPE`` writes it into
``weights/files/``; 3. add its terms and figures to ``docs/models.md``. A test holds `ZOO` equal to the folder.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ..errors import WeightsError
from .onnx_file import SUFFIXES as ONNX_SUFFIXES

FILES = Path(__file__).parent / "files"
"""The folder of shipped models."""

ZOO: dict[str, str] = {
    "person-detector": "person-detector.onnx.gz",
    "vitruvian-m": "vitruvian-m.onnx.gz",
    "vitruvian-mask": "vitruvian-mask.onnx.gz",
    "vitruvian-s": "vitruvian-s.onnx.gz",
}
"""Name -> file in `FILES`."""

DEFAULT = "vitruvian-s"
"""What ``"default"`` stands for."""

DEFAULT_DETECTOR = "person-detector"
"""What ``"default"`` stands for where a person detector is asked for."""

SUFFIXES = (*ONNX_SUFFIXES, ".safetensors")

_KINDS = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def find_weights(name_or_path: str | os.PathLike) -> Path:
    """The weight file that a name or path stands for; it exists, but has not been opened.

    Parameters
    ----------
    name_or_path : ``"default"``, a name in `ZOO`, an ``.onnx``, ``.onnx.gz`` or ``.safetensors`` file, or the folder
        of a training run, which stands for its ``best.safetensors``. A shipped name goes before a file that is called
        the same; write ``./name`` for the file.

    Raises
    ------
    WeightsError
        Nothing of that name; the message lists the shipped models and names the nearest.
    """
    text = os.fspath(name_or_path)
    name = DEFAULT if text == "default" else text
    if name in ZOO:
        path = FILES / ZOO[name]
        if not path.is_file():
            raise WeightsError(f"the shipped model '{name}' is missing from this installation ({path.name}); reinstall")
        return path
    path = Path(text)
    if path.is_dir():
        best = path / "best.safetensors"
        if not best.is_file():
            raise WeightsError(f"{path}: a folder without best.safetensors, so not that of a finished training run")
        return best
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise WeightsError(f"{path}: weights are {_KINDS} files, got '{path.suffix or path.name}'")
        return path
    nearest = difflib.get_close_matches(text, ["default", *ZOO], n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    raise WeightsError(
        f"no model '{text}'{hint} Shipped: {', '.join(sorted(ZOO))} (default: {DEFAULT}). "
        f"A path may lead to an {_KINDS} file or to a training run's folder."
    )
