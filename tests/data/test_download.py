"""Downloads against a server with faults: what arrives is the whole file as the server has it now, or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

import vitruvian.data.download
from vitruvian.data.download import agreed_size, ask, check_space, download, free_space, part_bytes, writing
from vitruvian.errors import DownloadError


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(vitruvian.data.download, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def data(rng, server) -> bytes:
    """What the server has at /a.zip: more than the buffers on the way hold."""
    server.files["/a.zip"] = rng.bytes(int(rng.integers(300_000, 900_000)))
    return server.files["/a.zip"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a.zip"


def test_a_file_arrives(server, data, path, naps):
    seen: list[tuple[str, int, int]] = []
    sha256 = hashlib.sha256(data).hexdigest()
    made = download(
        f"{server.url}/a.zip", path, size=len(data), sha256=sha256, progress=lambda *told: seen.append(told)
    )
    assert made == path
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["a.zip"]  # no .part, no note
    assert len(server.requests) == 1
    assert not naps
    for what in ("downloading a.zip", "checking a.zip"):
        done = [d for w, d, total in seen if w == what and total == len(data)]
        assert done == sorted(done)
        assert done[-1] == len(data)


def test_a_broken_connection_is_resumed_where_it_broke(server, data, path, rng, naps):
    cut = int(rng.integers(1, len(data)))
    server.cuts = [cut, None]
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data
    assert server.starts() == [0, cut]
    assert server.requests[1][2]["If-Range"] == server.validators(data)["ETag"]
    assert server.sent == len(data)  # nothing twice
    assert len(naps) == 1


def test_a_later_run_goes_on(server, data, path, rng):
    cut = int(rng.integers(1, len(data)))
    server.cuts = [cut]
    with pytest.raises(DownloadError, match=f"after {cut:,} of {len(data):,} bytes.*gave up after 1 .*Run again"):
        download(f"{server.url}/a.zip", path, attempts=1)
    assert not path.exists()
    assert part_bytes(path) == cut
    assert path.with_name("a.zip.part").read_bytes() == data[:cut]
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data
    assert server.sent == len(data)


def test_a_finished_part_needs_no_request(server, data, path):
    """As when the run was stopped before the part got its name."""
    server.cuts = [1000]
    with pytest.raises(DownloadError):
        download(f"{server.url}/a.zip", path, attempts=1)
    path.with_name("a.zip.part").write_bytes(data)
    count = len(server.requests)
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data
    assert len(server.requests) == count


def test_progress_gives_new_attempts(server, data, path, naps):
    server.cuts = [len(data) // 9] * 8
    download(f"{server.url}/a.zip", path, attempts=2)
    assert path.read_bytes() == data
    assert naps == [1.0] * 8  # and the wait starts anew each time


def test_without_ranges_it_starts_again(server, data, path):
    server.ranges = False
    server.cuts = [len(data) // 2, None]
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data
    assert server.sent == len(data) + len(data) // 2


def test_without_ranges_it_does_not_try_for_ever(server, data, path, naps):
    server.ranges = False
    server.cuts = [len(data) // 2] * 50
    with pytest.raises(DownloadError, match="gave up after 4 attempts"):
        download(f"{server.url}/a.zip", path, attempts=4)
    assert len(server.requests) == 4
    assert not path.exists()
    assert naps == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("if_range", [True, False], ids=["heeds If-Range", "passes over If-Range"])
@pytest.mark.parametrize("etags", [True, False], ids=["etag", "date"])
def test_a_changed_file_starts_again(server, data, path, rng, if_range, etags):
    """Same length, other bytes: a mixture of the two would have the right size."""
    server.etags, server.if_range = etags, if_range
    server.cuts = [len(data) // 2]
    with pytest.raises(DownloadError):
        download(f"{server.url}/a.zip", path, attempts=1)
    old = server.validators(data)
    while server.validators(changed := rng.bytes(len(data)))["Last-Modified"] == old["Last-Modified"]:
        pass
    server.files["/a.zip"] = changed
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == changed


def test_a_file_that_became_shorter_than_the_part_starts_again(server, data, path):
    server.if_range = False  # so that the answer is 416
    server.cuts = [len(data) // 2]
    with pytest.raises(DownloadError):
        download(f"{server.url}/a.zip", path, attempts=1)
    server.files["/a.zip"] = data[: len(data) // 3]
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data[: len(data) // 3]


@pytest.mark.parametrize("known_sum", [False, True])
def test_a_server_without_etag_and_date(server, data, path, known_sum):
    """Nobody can tell whether the file is still the same, unless a checksum will."""
    server.etags = server.dates = False
    server.cuts = [len(data) // 2, None]
    download(f"{server.url}/a.zip", path, sha256=hashlib.sha256(data).hexdigest() if known_sum else None)
    assert path.read_bytes() == data
    assert server.starts() == [0, len(data) // 2 if known_sum else 0]


def test_a_part_from_elsewhere_is_not_trusted(server, data, path):
    path.parent.mkdir()
    for note in (
        None,
        "no JSON",
        json.dumps({"url": "http://elsewhere", "size": 5000, "etag": '"1"', "modified": None}),
    ):
        path.unlink(missing_ok=True)
        path.with_name("a.zip.part").write_bytes(b"x" * 1000)
        if note is not None:
            path.with_name("a.zip.part.json").write_text(note)
        download(f"{server.url}/a.zip", path)
        assert path.read_bytes() == data
    assert server.starts() == [0, 0, 0]


def test_a_truncated_file_never_gets_its_name(server, data, path):
    server.claims["/a.zip"] = len(data) + 1000
    server.ranges = False
    with pytest.raises(DownloadError, match=f"after {len(data):,} of {len(data) + 1000:,} bytes"):
        download(f"{server.url}/a.zip", path, attempts=2)
    assert not path.exists()


def test_another_size_than_the_known_one_is_refused_at_once(server, data, path, naps):
    """A proxy's login page, say: nothing is fetched, and no part is begun."""
    with pytest.raises(DownloadError, match=f"expected {len(data) + 1:,} bytes, the server offers {len(data):,}"):
        download(f"{server.url}/a.zip", path, size=len(data) + 1)
    assert not naps
    assert os.listdir(path.parent) == []


def test_a_wrong_checksum_deletes_the_part(server, data, path):
    wrong = hashlib.sha256(data + b"!").hexdigest()
    with pytest.raises(DownloadError, match=f"expected SHA-256 {wrong}, got {hashlib.sha256(data).hexdigest()}"):
        download(f"{server.url}/a.zip", path, sha256=wrong)
    assert os.listdir(path.parent) == []


def test_a_file_that_is_there_is_checked_and_not_fetched(server, data, path):
    path.parent.mkdir()
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    assert download(f"{server.url}/a.zip", path, size=len(data), sha256=sha256.upper()) == path
    with pytest.raises(DownloadError, match="expected 7 bytes, got"):
        download(f"{server.url}/a.zip", path, size=7)
    with pytest.raises(DownloadError, match="expected SHA-256"):
        download(f"{server.url}/a.zip", path, sha256="00" * 32)
    assert path.read_bytes() == data  # it is the user's
    assert not server.requests


def test_a_file_of_unknown_length(server, data, path):
    server.lengths = False
    with pytest.raises(DownloadError, match="does not say how long"):
        download(f"{server.url}/a.zip", path)
    download(f"{server.url}/a.zip", path, size=len(data))
    assert path.read_bytes() == data


def test_troubles_of_the_server_are_waited_for(server, data, path, naps):
    server.troubles = [(503, {"Retry-After": "7"}), (500, {}), (429, {"Retry-After": "9999"})]
    download(f"{server.url}/a.zip", path, wait_s=0.5)
    assert path.read_bytes() == data
    assert naps == [7.0, 1.0, 60.0]  # as asked; doubled for the second; no longer than a minute


def test_a_file_that_does_not_exist_is_not_waited_for(server, path, naps):
    with pytest.raises(DownloadError, match=r"/b.zip: the server answers 404"):
        download(f"{server.url}/b.zip", path)
    with pytest.raises(DownloadError, match=r"/b.zip: the server answers 404"):
        ask(f"{server.url}/b.zip")
    assert not naps


def test_no_server(path, naps):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.zip"
        with pytest.raises(DownloadError, match="no connection .*gave up after 5 attempts"):
            download(url, path, attempts=5)
        with pytest.raises(DownloadError, match="no connection"):
            ask(url)
    assert naps == [1.0, 2.0, 4.0, 8.0]


def test_ask(server, data):
    told = ask(f"{server.url}/a.zip")
    assert (told.size, told.etag) == (len(data), server.validators(data)["ETag"])
    assert server.sent == 0
    assert agreed_size(told, None) == agreed_size(told, len(data)) == len(data)
    with pytest.raises(DownloadError, match="expected 5 bytes"):
        agreed_size(told, 5)


def test_space(tmp_path, monkeypatch):
    asked: list[Path] = []

    def usage(place: Path) -> SimpleNamespace:
        asked.append(Path(place))
        return SimpleNamespace(total=10_000_000, used=0, free=2_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    folder = tmp_path / "not" / "yet" / "there"
    assert free_space(folder) == check_space(folder, 2_000_000) == 2_000_000
    with pytest.raises(DownloadError, match=r"3.5 MB needed, 2.0 MB free \(1.5 MB too little\); use less"):
        check_space(folder, 3_500_000, "use less")
    assert set(asked) == {tmp_path}  # the nearest folder that exists


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "Permission denied")])
def test_what_the_disk_says_is_explained(tmp_path, number, words):
    with pytest.raises(DownloadError, match=f"{tmp_path}.*{words}"), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_keeps_the_part(server, data, path, monkeypatch, rng):
    """The disk takes so much and no more; with space again, the download goes on."""
    limit = int(rng.integers(1, len(data) // 2))
    opened = Path.open

    class Full:
        def __init__(self, file) -> None:
            self.file, self.left = file, limit

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, chunk: bytes) -> None:
            self.file.write(chunk[: self.left])
            if len(chunk) > self.left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.left -= len(chunk)

    def open_full(self: Path, mode: str = "r", *rest, **options):
        file = opened(self, mode, *rest, **options)
        return Full(file) if self.name == "a.zip.part" and mode[0] in "wa" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(DownloadError, match="disk is full"):
            download(f"{server.url}/a.zip", path)
    assert part_bytes(path) == limit
    download(f"{server.url}/a.zip", path)
    assert path.read_bytes() == data
    assert server.starts() == [0, limit]


def test_random_interruptions(server, rng, tmp_path):
    """Whatever breaks wherever, and changes in between: what arrives is what the server has."""
    url = f"{server.url}/b"
    for trial in range(10):
        versions = [rng.bytes(int(rng.integers(1, 60_000))) for _ in range(2)]
        server.files["/b"] = versions[0]
        server.ranges, server.if_range, server.dates = (bool(rng.integers(2)) for _ in range(3))
        server.cuts = [int(cut) for cut in rng.integers(0, 60_000, int(rng.integers(4)))]
        path = tmp_path / str(trial)
        for _ in range(2):
            try:
                download(url, path, attempts=2)
            except DownloadError:
                server.files["/b"] = versions[1]
        server.cuts = []
        download(url, path)
        assert path.read_bytes() in versions
        assert {p.name for p in tmp_path.iterdir()} == {str(t) for t in range(trial + 1)}  # no part, no note
