"""Large files from the web: resumed, retried and verified, so that a second run goes on where one stopped.

Only the standard library: HTTP range requests as in RFC 9110 (section 13.1.5, If-Range, and section 14, Range).

What makes a download trustworthy:

- The bytes go to ``<name>.part``; ``<name>.part.json`` notes the address, and the size, ETag and Last-Modified that the
  server gave. A part is continued only if the server still has the same file; otherwise it starts afresh.
- The finished part must have the known size, or else the one the server announced, and the known SHA-256 where there is
  one. Only then does it take its name. A file of a length that nobody knows is refused.

Unpacking is `unpack`'s.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from rich.filesize import decimal as as_bytes

from .. import __version__
from ..errors import DownloadError
from ..formats.writing import write_json

Progress = Callable[[str, int, int], None]
"""Called with what is being done (``"downloading val2017.zip"``), the bytes done, and the bytes in all."""

CHUNK = 1 << 20
LONGEST_WAIT_S = 60.0

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Remote:
    """What a server says of a file.

    Attributes
    ----------
    url : its address.
    size : bytes, or None where the server does not say.
    etag, modified : its ETag and Last-Modified headers, or None.
    """

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, else the date."""
        return self.etag if self.etag is not None and not self.etag.startswith("W/") else self.modified

    def same_file(self, other: Remote) -> bool:
        """Whether the server still has that file, as far as its headers tell."""
        return (self.size, self.etag, self.modified) == (other.size, other.etag, other.modified)


class _Again(Exception):
    """Something that may be gone at the next attempt; ``after_s`` is what the server asked us to wait."""

    def __init__(self, problem: str, after_s: float | None = None):
        self.after_s = after_s
        super().__init__(problem)


def ask(url: str, timeout_s: float = 30.0) -> Remote:
    """What the server says of a file, without fetching it (one HEAD request, no second attempt).

    Raises `DownloadError` when it cannot be asked, or has no such file.
    """
    try:
        with _open(url, {}, timeout_s, method="HEAD") as response:
            return _remote(url, response)
    except _Again as error:
        raise DownloadError(f"{url}: {error}") from error


def agreed_size(told: Remote, size: int | None) -> int:
    """How many bytes a file has: the known number, else the one its server gave.

    Raises `DownloadError` where the two differ, or neither is known.
    """
    if size is None and told.size is None:
        raise DownloadError(f"{told.url}: the server does not say how long the file is, so it could not be verified")
    if size is not None and told.size is not None and told.size != size:
        raise DownloadError(
            f"{told.url}: expected {size:,} bytes, the server offers {told.size:,}; either the file has been replaced "
            "or a proxy answers in its stead (open the address in a browser to see)"
        )
    return told.size if size is None else size  # type: ignore[return-value]


def download(
    url: str,
    path: str | os.PathLike,
    *,
    size: int | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    attempts: int = 6,
    wait_s: float = 1.0,
    timeout_s: float = 30.0,
) -> Path:
    """Fetch a file, going on with the ``.part`` that an earlier run left; a file that is there is checked instead.

    Parameters
    ----------
    url : its address (http or https).
    path : where it goes; folders on the way are made.
    size : its bytes, where they are known beforehand; a server that offers another number is refused at once.
    sha256 : its checksum in hexadecimal, where it is known.
    progress : see `Progress`.
    attempts : how often in a row an attempt may fail without having brought anything new.
    wait_s : seconds before the second attempt; they double with each (up to a minute), or are what the server asks for.
    timeout_s : how long the connection may be silent.

    Raises
    ------
    DownloadError
        The server has no such file or another one, the attempts are used up (the part stays), the disk is full (the
        part stays), or what arrived is not the expected file (the part is deleted).
    """
    path = Path(path)
    if path.exists():
        _verify(path, size, sha256, progress, path.name)
        return path
    part = _part(path)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while True:
        before = part_bytes(path)
        try:
            total = _transfer(url, path, size, sha256 is not None, progress, timeout_s)
            break
        except _Again as error:
            failures = 1 if part_bytes(path) > before else failures + 1
            if failures >= attempts:
                raise DownloadError(
                    f"{url}: {error}; gave up after {attempts} attempts with {as_bytes(part_bytes(path))} in {part}. "
                    "Run again to go on from there"
                ) from error
            wait = error.after_s if error.after_s is not None else wait_s * 2 ** (failures - 1)
            time.sleep(min(wait, LONGEST_WAIT_S))
    try:
        _verify(part, total, sha256, progress, path.name)
    except DownloadError:
        _discard(path)
        raise
    os.replace(part, path)
    _note_path(path).unlink(missing_ok=True)
    return path


def part_bytes(path: Path) -> int:
    """Bytes of ``path`` that an unfinished download has brought."""
    try:
        return _part(path).stat().st_size
    except FileNotFoundError:
        return 0


def check_space(folder: str | os.PathLike, needed: int, how_to_fix: str = "free some, or choose another disk") -> int:
    """Free bytes of the disk that holds, or will hold, ``folder``; `DownloadError` if fewer than ``needed``."""
    free = free_space(folder)
    if free < needed:
        raise DownloadError(
            f"{folder}: {as_bytes(needed)} needed, {as_bytes(free)} free ({as_bytes(needed - free)} too little); "
            f"{how_to_fix}"
        )
    return free


def free_space(folder: str | os.PathLike) -> int:
    """Free bytes of the disk that holds, or will hold, ``folder``."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


# --- one attempt ---------------------------------------------------------------------------------------------------


def _transfer(
    url: str, path: Path, size: int | None, known_sum: bool, progress: Progress | None, timeout_s: float
) -> int:
    """Bring the part of ``path`` to its full length, which is returned, in one request.

    Raises `_Again` where that failed but may yet succeed.
    """
    have, note = part_bytes(path), _read_note(path)
    headers: dict[str, str] = {}
    # Without an ETag or a date nobody can tell whether the file is still the same, unless a checksum will.
    if have and note is not None and note.url == url and (note.validator is not None or known_sum):
        if have == note.size:
            return have
        headers["Range"] = f"bytes={have}-"
        if note.validator is not None:
            headers["If-Range"] = note.validator
    try:
        response = _open(url, headers, timeout_s)
    except _BadRange:
        _discard(path)
        return _transfer(url, path, size, known_sum, progress, timeout_s)
    with response:
        told = _remote(url, response)
        total = agreed_size(told, size)
        if response.status == 206 and "Range" in headers:
            # Some servers pass over If-Range, or answer with another range than the one asked for.
            if note is None or not told.same_file(note) or _start(response) != have:
                response.close()
                _discard(path)
                return _transfer(url, path, size, known_sum, progress, timeout_s)
        else:
            have = 0
        _write(path, response, have, told, total, progress)
    return total


def _write(path: Path, response: HTTPResponse, have: int, told: Remote, total: int, progress: Progress | None) -> None:
    what = f"downloading {path.name}"
    with writing(_part(path)):
        if not have:
            _discard(path)
            write_json(_note_path(path), asdict(told))
        with _part(path).open("ab" if have else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(what, have, total)
    if have < total:
        raise _Again(f"the connection ended after {have:,} of {total:,} bytes")


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(CHUNK)  # what has arrived, so that a connection that dies loses nothing
        except (OSError, HTTPException) as error:
            raise _Again(f"the connection broke ({_named(error)})") from error
        if not chunk:
            return
        yield chunk


class _BadRange(Exception):
    """The server has no bytes where the part ends (status 416): the file has become shorter."""


def _open(url: str, headers: dict[str, str], timeout_s: float, method: str = "GET") -> HTTPResponse:
    headers = {"User-Agent": f"vitruvian/{__version__}", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        return urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and "Range" in headers:
            raise _BadRange from error
        problem = f"the server answers {error.code} ({error.reason})"
        if error.code in _TRANSIENT:
            wait = error.headers.get("Retry-After", "")
            raise _Again(problem, float(wait) if wait.isascii() and wait.isdigit() else None) from error
        raise DownloadError(f"{url}: {problem}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: the server's certificate is not trusted ({reason})") from error
        raise _Again(f"no connection ({_named(reason)})") from error


def _remote(url: str, response: HTTPResponse) -> Remote:
    length = response.headers.get("Content-Length")
    if response.status == 206:  # "bytes 100-199/200"
        length = response.headers.get("Content-Range", "").rpartition("/")[2]
    size = int(length) if length is not None and length.isascii() and length.isdigit() else None
    return Remote(url, size, response.headers.get("ETag"), response.headers.get("Last-Modified"))


def _start(response: HTTPResponse) -> int | None:
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isascii() and first.isdigit() else None


def _named(error: object) -> str:
    return str(error) or type(error).__name__


# --- what is on the disk -------------------------------------------------------------------------------------------


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".part.json")


def _read_note(path: Path) -> Remote | None:
    """What the server said when the part was begun; None where that is not known, and then the part is of no use."""
    try:
        return Remote(**json.loads(_note_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _discard(path: Path) -> None:
    _part(path).unlink(missing_ok=True)
    _note_path(path).unlink(missing_ok=True)


def _verify(file: Path, size: int | None, sha256: str | None, progress: Progress | None, name: str) -> None:
    """`DownloadError` unless a finished file has that size and checksum, where they are known."""
    found = file.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f"{file}: expected {size:,} bytes, got {found:,}; delete the file and run again")
    if sha256 is None:
        return
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(f"checking {name}", done, found)
    if digest.hexdigest() != sha256.lower():
        raise DownloadError(
            f"{file}: expected SHA-256 {sha256.lower()}, got {digest.hexdigest()}; it is damaged or another file. "
            "Delete it, if it is still there, and run again"
        )


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block whose failures to write to the disk become a `DownloadError` that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"{path}: the disk is full; free some space and run again, to go on from here"
            ) from error
        raise DownloadError(f"{path}: cannot be written ({error.strerror or error})") from error
