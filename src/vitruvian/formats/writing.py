"""Files that appear complete or not at all, and names for results that cannot collide."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` when the block ends without error.

    Folders on the way are made. Nobody ever sees half a file, and a failed write leaves the old one as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the renaming stays on one file system; the suffix is kept for writers that look at it.
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: str | os.PathLike, data: Any) -> Path:
    """Write JSON atomically; numpy's arrays and numbers, paths and tuples become plain values."""
    return write_text(path, json.dumps(data, default=plain, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """The JSON value of a numpy array or number, path, set or bytes; `TypeError` for anything else."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return Path(value).as_posix()
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot write a {type(value).__name__} to JSON")


def unique_names(paths: Sequence[Path | None]) -> list[str]:
    """One name for each image that no other has: its stem, and more of its path only where stems collide.

    ``a/1.jpg`` and ``b/1.jpg`` become ``a__1`` and ``b__1``; ``1.jpg`` and ``1.png`` keep their suffixes. An image
    without a path is named after its place in the list; one that comes again has its place appended.
    """
    given = [path for path in paths if path is not None]
    try:
        common = Path(os.path.commonpath([path.parent for path in given])) if given else Path()
    except ValueError:  # absolute and relative paths, or several drives
        common = Path()

    def spelled(i: int, level: int) -> str:
        path = paths[i]
        if path is None:
            return f"image_{i:06d}"
        if level == 0:
            return path.stem
        inside = path.relative_to(common) if path.is_relative_to(common) else path
        folders = [part for part in inside.parts[:-1] if part not in ("..", path.anchor)]
        return "__".join([*folders, path.stem if level == 1 else path.name])

    names = [""] * len(paths)
    taken: set[str] = set()
    waiting = list(range(len(paths)))
    for level in range(3):
        proposals = {i: spelled(i, level) for i in waiting}
        counts = Counter(proposals.values())
        for i, proposal in proposals.items():
            if counts[proposal] == 1 and proposal not in taken:
                names[i] = proposal
                taken.add(proposal)
        waiting = [i for i in waiting if not names[i]]
    for i in waiting:
        names[i] = f"{spelled(i, 2)}__{i:06d}"
        while names[i] in taken:
            names[i] += "_"
        taken.add(names[i])
    return names
