"""Files about photos: what they are called, so that none lies on another or on a file of the user's, and their mark.

Pictures that this program writes carry its name (PNG's text "Software"). Only such files are replaced or removed.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np

MASKS = "masks"
"""The folder of masks, under ``--out``: ``<image>_<person>.png``."""

DRAWING, CUT, VIEW_3D = ".png", "_cut.png", "_3d.png"
"""What the pictures of a photo end with."""
_PICTURES = (DRAWING, CUT, VIEW_3D)
_PAGE = "_3d.html"
_KEY, _PROGRAM = "Software", "Vitruvian"


def picture_names(photos: Sequence[Path], names: Sequence[str], out: Path) -> list[str]:
    """What each photo's drawing, cut-out and 3D picture are called, ``NAME.png``, ``NAME_cut.png`` and so on.

    Its own of ``names`` unless that, in the folder ``out``, would lie on one of the photos, on another photo's
    pictures, or on a PNG file that this program did not write; then with ``_pose``, ``_pose2``, ... behind it.
    """
    taken = {photo.resolve() for photo in photos}
    found = []
    for name in names:
        number = 0
        while True:
            proposal = name + ("" if not number else "_pose" if number == 1 else f"_pose{number}")
            files = [out / f"{proposal}{end}" for end in (*_PICTURES, _PAGE)]
            resolved = {file.resolve() for file in files}
            if not (resolved & taken or any(_is_anothers(file) for file in files[:-1])):
                break
            number += 1
        taken |= resolved
        found.append(proposal)
    return found


def check_masks(names: Sequence[str], out: Path) -> None:
    """A usage error where a mask of one of ``names`` would replace a file that this program did not write."""
    for name in names:
        for file in _masks(out, name):
            if _is_anothers(file):
                raise click.UsageError(
                    f"{file} is no mask of an earlier run and would be replaced; choose another --out"
                )


def save_picture(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W), (H, W, 3) or (H, W, 4) uint8 as PNG with this program's mark, completely or not at all."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from ..formats.writing import atomic_path

    mark = PngInfo()
    mark.add_text(_KEY, _PROGRAM)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4, pnginfo=mark)
    return path


def remove_masks(out: Path, name: str) -> None:
    """Those that an earlier run wrote of an image."""
    for file in _masks(out, name):
        if not _is_anothers(file):
            file.unlink()


def remove_pictures(out: Path, name: str, ends: Sequence[str] = _PICTURES) -> None:
    """Those that an earlier run wrote of an image."""
    for end in ends:
        file = out / f"{name}{end}"
        if file.is_file() and not _is_anothers(file):
            file.unlink()
            if end == VIEW_3D:
                (out / f"{name}{_PAGE}").unlink(missing_ok=True)


def _masks(out: Path, name: str) -> list[Path]:
    found = (out / MASKS).glob(f"{glob.escape(name)}_*.png")
    return [file for file in found if file.stem[len(name) + 1 :].isdigit()]


def _is_anothers(file: Path) -> bool:
    """Whether there is a file without the mark."""
    from PIL import Image

    if not file.exists():
        return False
    try:
        with Image.open(file) as picture:
            return picture.info.get(_KEY) != _PROGRAM
    except OSError:
        return True
