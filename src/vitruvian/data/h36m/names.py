"""What the layouts of Human3.6M share: which 17 of its 32 joints, how takes and files are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError

OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""h36m17's joints among Human3.6M's 32 (system 4 gives them counted from 1: 1 2 3 4 7 8 9 13 14 15 16 18 19 20 26 27
28); the others are doubles of these, and toes and fingers."""

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""The cameras' names, in the order in which the data set numbers them from 1."""

SIZES_WH = {"54138969": (1000, 1002), "55011271": (1000, 1000), "58860488": (1000, 1000), "60457274": (1000, 1002)}

ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown",
    "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether",
)  # fmt: skip
"""The actions as tables of results call them, in the data set's order, in which action 2 is the first."""

_OTHER_SPELLINGS = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}


def action_of(take: str) -> str:
    """The action of a take as tables call it: ``"WalkingDog 1"``, ``"WalkingDog-1"`` -> ``"WalkDog"``."""
    action = re.sub(r"[ _-]\d+$", "", take)
    return _OTHER_SPELLINGS.get(action, action)


def subjects_in(root: Path, wanted: Any = None) -> list[str]:
    """The subjects that have a folder (``S1`` ...), in numeric order; `FormatError` for none, or one missing."""
    if not root.is_dir():
        raise FormatError(root, "no such folder; expected one with the folders of subjects, S1, S5, ...")
    found = sorted((p.name for p in root.iterdir() if re.fullmatch(r"S\d+", p.name)), key=lambda name: int(name[1:]))
    lacking = sorted(set(wanted or ()) - set(found))
    if not found or lacking:
        raise FormatError(root, f"no folder of subject {lacking[0] if lacking else 'S1, S5, ...'}; found {found}")
    return [name for name in found if wanted is None or name in wanted]


def numbered_files(folder: Path) -> dict[int, Path]:
    """Picture files by the number that their names end in (``img_000012.jpg`` -> 12)."""
    if not folder.is_dir():
        return {}
    found = (
        (re.search(r"(\d+)$", p.stem), p) for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    return {int(match.group(1)): path for match, path in found if match}


def joints_17(path: Path, pose: np.ndarray, axes: int, field: str) -> np.ndarray:
    """(F, 17, axes) from (F, 32 x axes), (F, 32, axes) or (F, 17, axes); `FormatError` for another shape or NaN."""
    array = np.asarray(pose, np.float64)
    if array.ndim == 2 and array.shape[1] == 32 * axes:
        array = array.reshape(len(array), 32, axes)
    if array.ndim != 3 or array.shape[1] not in (17, 32) or array.shape[2] != axes:
        raise FormatError(path, f"expected (frames, 32, {axes}) positions, got {np.shape(pose)}", field=field)
    if not np.isfinite(array).all():
        raise FormatError(path, "expected finite numbers", field=field)
    return array[:, OF_32] if array.shape[1] == 32 else array
