"""Files about photos: what they are called, so that none lies on another or on a file of the user's, and their mark.

Pictures that this program writes say so, and of what kind they are (PNG's texts "Software" and "Comment"; a page's
"generator"). Only files of the same name and kind are replaced or removed.
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

DRAWING, CUT, VIEW_3D, PAGE_3D = ".png", "_cut.png", "_3d.png", "_3d.html"
"""What the files about a photo end with, which is also their kind."""
_KINDS = (DRAWING, CUT, VIEW_3D, PAGE_3D)
_PROGRAM = "Vitruvian"  # also of `draw.page3d`, which is not imported here for --help's sake
_START = 1000  # bytes of a page, in which it says what made it


def picture_names(photos: Sequence[Path], names: Sequence[str], out: Path) -> list[str]:
    """What each photo's drawing, cut-out and 3D picture are called, ``NAME.png``, ``NAME_cut.png`` and so on.

    Its own of ``names`` unless that, in the folder ``out``, would lie on one of the photos, on another photo's
    pictures, or on a file that this program did not write; then with ``_pose``, ``_pose2``, ... behind it.
    """
    taken = {photo.resolve() for photo in photos}
    found = []
    for name in names:
        number = 0
        while True:
            proposal = name + ("" if not number else "_pose" if number == 1 else f"_pose{number}")
            files = {kind: out / f"{proposal}{kind}" for kind in _KINDS}
            resolved = {file.resolve() for file in files.values()}
            if not (resolved & taken or any(_is_anothers(file, kind) for kind, file in files.items())):
                break
            number += 1
        taken |= resolved
        found.append(proposal)
    return found


def check_masks(names: Sequence[str], out: Path) -> None:
    """A usage error where a mask of one of ``names`` would replace a file that this program did not write."""
    known = set(names)
    for file in sorted((out / MASKS).glob("*_*.png")):  # once, not once for each photo
        if _masked(file) in known and _is_anothers(file, MASKS):
            raise click.UsageError(
                f"{file} does not say that this program wrote it, and would be replaced; choose another --out"
            )


def save_picture(path: Path, pixels: np.ndarray, kind: str) -> Path:
    """Write (H, W), (H, W, 3) or (H, W, 4) uint8 as PNG with its mark, completely or not at all.

    Raises `ImageError` where that cannot be.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from ..errors import ImageError
    from ..formats.writing import atomic_path

    mark = PngInfo()
    mark.add_text("Software", _PROGRAM)
    mark.add_text("Comment", kind)
    try:
        with atomic_path(path) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4, pnginfo=mark)
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror or error}") from error
    return path


def remove_masks(out: Path, name: str) -> None:
    """Those that an earlier run wrote of an image."""
    for file in (out / MASKS).glob(f"{glob.escape(name)}_*.png"):
        if _masked(file) == name and not _is_anothers(file, MASKS):
            file.unlink()


def remove_pictures(out: Path, name: str, kinds: Sequence[str] = _KINDS) -> None:
    """Those that an earlier run wrote of an image."""
    for kind in kinds:
        file = out / f"{name}{kind}"
        if file.is_file() and not _is_anothers(file, kind):
            file.unlink()


def _masked(file: Path) -> str | None:
    """Of which image a file is a mask, by its name."""
    name, _, person = file.stem.rpartition("_")
    return name if person.isdigit() else None


def _is_anothers(file: Path, kind: str) -> bool:
    """Whether there is a file, and it does not say that this program wrote it as one of that kind."""
    if not file.exists():
        return False
    if file.suffix == ".html":
        return f'content="{_PROGRAM}"'.encode() not in file.read_bytes()[:_START]
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return (picture.info.get("Software"), picture.info.get("Comment")) != (_PROGRAM, kind)
    except Exception:  # whatever it is, it is not ours
        return True
