"""The shipped lifters by name; `zoo` is for models of pictures.

Adding one: 1. ``python tools/ship_lifter.py RUN`` writes ``weights/files/lifter/<name>.onnx``; 2. add it to
`LIFTER_ZOO`; 3. its figures and terms to ``docs/pose3d-output.md``. A test holds `LIFTER_ZOO` equal to the folder.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ..errors import WeightsError
from .onnx_file import is_onnx
from .zoo import FILES

LIFTER_FILES = FILES / "lifter"
"""The folder of shipped lifters."""

LIFTER_ZOO: dict[str, str] = {"lifter-s": "lifter-s.onnx", "lifter-temporal": "lifter-temporal.onnx"}
"""Name -> file in `LIFTER_FILES`."""

DEFAULT_LIFTER = "lifter-s"
"""What ``"default"`` stands for."""


def find_lifter(name_or_path: str | os.PathLike) -> Path:
    """The file that a lifter's name or path stands for: ``"default"``, a name in `LIFTER_ZOO`, or an ``.onnx`` or
    ``.onnx.gz`` file.

    Raises `WeightsError` for nothing of that name; the message lists the shipped ones.
    """
    text = os.fspath(name_or_path)
    name = DEFAULT_LIFTER if text == "default" else text
    if name in LIFTER_ZOO:
        path = LIFTER_FILES / LIFTER_ZOO[name]
        if not path.is_file():
            raise WeightsError(
                f"the shipped lifter '{name}' is missing from this installation ({path.name}); reinstall"
            )
        return path
    path = Path(text)
    if path.is_file() and is_onnx(path):
        return path
    nearest = difflib.get_close_matches(text, ["default", *LIFTER_ZOO], n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    raise WeightsError(
        f"no lifter '{text}'{hint} Shipped: {', '.join(sorted(LIFTER_ZOO))} (default: {DEFAULT_LIFTER}). A path must "
        "lead to an .onnx or .onnx.gz file; a training run's best.safetensors is made into one by export_lifter."
    )
