"""Which image files do the paths of a command line, or of a caller, stand for?"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import ImageError

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""What counts as an image in a folder. HEIC cannot be decoded, but is reported instead of passed over in silence."""


def find_images(paths: str | os.PathLike | Iterable[str | os.PathLike], *, recursive: bool = False) -> list[Path]:
    """The image files that files, folders and globs stand for.

    Parameters
    ----------
    paths : a file is taken whatever its suffix; of a folder, or what a glob (``*``, ``?``, ``[...]``, ``**``) matches,
        the files with one of `IMAGE_SUFFIXES` that are not hidden.
    recursive : look into folders of folders too.

    Returns
    -------
    Paths in natural order (``img2`` before ``img10``), each file once, spelt as given.

    Raises
    ------
    ImageError
        One of ``paths`` is empty or matches nothing; the message names it.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, Path] = {}
    for path in paths:
        if os.fspath(path) == "":  # of a variable that is not set; Path("") would be the current folder
            raise ImageError("''", "is no path; for the current folder say '.'")
        for match in _matches(Path(path), recursive):
            found.setdefault(match.resolve(), match)
    return sorted(found.values(), key=_natural_key)


def _matches(path: Path, recursive: bool) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        images = _images_in(path, recursive)
        if not images:
            more = "" if recursive or not _images_in(path, True) else "; its subfolders have some: search recursively"
            raise ImageError(path, f"folder has no images ({', '.join(IMAGE_SUFFIXES)}){more}")
        return images
    if not glob.has_magic(str(path)):
        raise ImageError(path, "no such file or folder")
    images = []
    for match in map(Path, glob.glob(str(path), recursive=True)):
        if match.is_dir():
            images += _images_in(match, recursive)
        elif _is_image(match):
            images.append(match)
    if not images:
        raise ImageError(path, "the pattern matches no image")
    return images


def _images_in(folder: Path, recursive: bool) -> list[Path]:
    if not recursive:
        return [p for p in folder.iterdir() if _is_image(p) and p.is_file()]
    found = []
    for root, folders, files in os.walk(folder):  # does not follow links, which may lead back
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [p for p in (Path(root, f) for f in files) if _is_image(p)]
    return found


def _is_image(path: Path) -> bool:
    # Hidden files are other programs' business; macOS leaves "._photo.jpg" that is no photo on foreign disks.
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural_key(path: Path) -> tuple:
    parts = [
        [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in re.split(r"(\d+)", part)]
        for part in path.parts
    ]
    return (parts, str(path))
