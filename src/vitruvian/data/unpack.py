"""Zip archives from the web into a folder: members that are there already are kept, and none can escape the folder."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DownloadError
from ..formats.writing import atomic_path
from .download import CHUNK, Progress, check_space, writing


@dataclass(frozen=True)
class Unpacked:
    """How many files `unpack` wrote, and how many it found there already."""

    written: int
    kept: int


def unpack(archive: str | os.PathLike, folder: str | os.PathLike, progress: Progress | None = None) -> Unpacked:
    """Unpack a zip archive; what an interrupted run has unpacked is not unpacked again.

    A file that is there with the right size counts as unpacked: each is written beside its place, its CRC is checked,
    and only then does it take its name.

    Raises
    ------
    DownloadError
        Not a zip archive, a damaged or encrypted member, one whose name leads out of ``folder`` or that is a link
        (nothing is unpacked then), or too little space for what is missing.
    """
    archive, folder = Path(archive), Path(folder)
    with _damage(archive), zipfile.ZipFile(archive) as file:
        members = _members(archive, file, folder)
        missing = _missing(members)
        total = sum(info.file_size for info, _ in missing)
        check_space(folder, total)
        done = 0
        for info, target in missing:
            with writing(target), atomic_path(target) as temporary, temporary.open("wb") as out:
                for chunk in _chunks(file, info, archive):
                    out.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(f"unpacking {archive.name}", done, total)
    return Unpacked(len(missing), len(members) - len(missing))


def bytes_missing(archive: str | os.PathLike, folder: str | os.PathLike) -> int:
    """How many bytes `unpack` would still write; `DownloadError` for what is no sound zip archive."""
    archive, folder = Path(archive), Path(folder)
    with _damage(archive), zipfile.ZipFile(archive) as file:
        return sum(info.file_size for info, _ in _missing(_members(archive, file, folder)))


def _members(archive: Path, file: zipfile.ZipFile, folder: Path) -> list[tuple[zipfile.ZipInfo, Path]]:
    return [(info, folder / _inside(archive, info)) for info in file.infolist() if not info.is_dir()]


def _missing(members: list[tuple[zipfile.ZipInfo, Path]]) -> list[tuple[zipfile.ZipInfo, Path]]:
    return [(info, target) for info, target in members if not _is_there(info, target)]


def _inside(archive: Path, info: zipfile.ZipInfo) -> PurePosixPath:
    """The member's name as a path below the folder; `DownloadError` where it is none."""
    # Windows takes a backslash for a separator and a colon for a drive, whatever wrote the archive.
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if not name.parts or name.is_absolute() or ".." in name.parts or ":" in info.filename:
        raise DownloadError(f"{archive}: member '{info.filename}' would be written outside of the folder; not unpacked")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DownloadError(f"{archive}: member '{info.filename}' is a link, expected files only; not unpacked")
    return name


def _is_there(info: zipfile.ZipInfo, target: Path) -> bool:
    try:
        return target.stat().st_size == info.file_size
    except (FileNotFoundError, NotADirectoryError):
        return False


def _chunks(file: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path) -> Iterator[bytes]:
    # Damage is told apart here from failures to write, which the caller knows how to explain.
    with _damage(archive), file.open(info) as member:
        while chunk := member.read(CHUNK):
            yield chunk


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    try:
        yield
    except DownloadError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        # RuntimeError: encrypted; its subclass NotImplementedError: a compression unknown to Python.
        problem = str(error) or type(error).__name__
        raise DownloadError(f"{archive}: cannot be unpacked ({problem}); delete it and run again") from error
