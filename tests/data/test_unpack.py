"""Unpacking: complete files or none, going on where a run stopped, and nothing outside of the folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitruvian.data.unpack import Unpacked, bytes_missing, unpack
from vitruvian.errors import DownloadError


def make(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def members(rng) -> dict[str, bytes]:
    return {f"val2017/{i:012d}.jpg": rng.bytes(int(rng.integers(1, 5000))) for i in range(6)} | {"empty.txt": b""}


def test_round_trip(members, tmp_path):
    archive, folder = make(tmp_path / "a.zip", {"val2017/": b"", **members}), tmp_path / "out"
    seen: list[tuple[str, int, int]] = []
    total = sum(map(len, members.values()))
    assert bytes_missing(archive, folder) == total
    assert unpack(archive, folder, lambda *told: seen.append(told)) == Unpacked(written=7, kept=0)
    assert contents(folder) == members
    assert seen[-1] == ("unpacking a.zip", total, total)


def test_what_is_there_is_kept(members, tmp_path):
    """Same size: kept, even if it had other bytes. Another size: written again."""
    archive, folder = make(tmp_path / "a.zip", members), tmp_path / "out"
    unpack(archive, folder)
    kept, short, gone = list(members)[:3]
    mark = bytes(len(members[kept]))
    (folder / kept).write_bytes(mark)
    (folder / short).write_bytes(members[short] + b"more")
    (folder / gone).unlink()
    assert bytes_missing(archive, folder) == len(members[short]) + len(members[gone])
    assert unpack(archive, folder) == Unpacked(written=2, kept=5)
    assert contents(folder) == members | {kept: mark}


def test_an_interrupted_run_goes_on(members, tmp_path):
    archive, folder = make(tmp_path / "a.zip", members), tmp_path / "out"

    calls: list[int] = []

    def stop(what: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 4:  # one call a member, as small as they are
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder, stop)
    half = contents(folder)
    assert len(half) == 3
    assert all(members[name] == data for name, data in half.items())  # no half file, no temporary one
    assert unpack(archive, folder) == Unpacked(written=len(members) - len(half), kept=len(half))
    assert contents(folder) == members


def test_a_damaged_member_is_not_written(members, tmp_path, rng):
    archive = make(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    victim = list(members)[2]
    raw = bytearray(archive.read_bytes())
    # Behind its own header: a member of a byte or two may occur earlier in the archive.
    at = raw.index(victim.encode()) + len(victim) + int(rng.integers(len(members[victim])))
    raw[at] ^= 1 << int(rng.integers(8))
    archive.write_bytes(raw)
    with pytest.raises(DownloadError, match=r"a.zip: cannot be unpacked \(Bad CRC-32.*delete it and run again"):
        unpack(archive, tmp_path / "out")
    assert set(contents(tmp_path / "out")) == set(list(members)[:2])


def test_damage_to_compressed_bytes(tmp_path):
    archive = make(tmp_path / "a.zip", {"a.txt": b"words and words " * 4000})
    raw = bytearray(archive.read_bytes())
    raw[40:60] = bytes(20)
    archive.write_bytes(raw)
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_truncated_archive(members, tmp_path, rng):
    archive = make(tmp_path / "a.zip", members)
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(rng.integers(len(raw) // 2))])
    for function in (unpack, bytes_missing):
        with pytest.raises(DownloadError, match="cannot be unpacked.*not a zip file"):
            function(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "."])
def test_nothing_leaves_the_folder(tmp_path, name):
    archive = make(tmp_path / "a.zip", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(DownloadError, match="would be written outside of the folder"):
        unpack(archive, tmp_path / "in" / "out")
    assert set(contents(tmp_path)) == {"a.zip"}  # not even the good one


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DownloadError, match="'link' is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert set(contents(tmp_path)) == {"a.zip"}


def test_space_for_what_is_missing_is_enough(members, tmp_path, monkeypatch):
    archive, folder = make(tmp_path / "a.zip", members), tmp_path / "out"
    total, first = sum(map(len, members.values())), len(next(iter(members.values())))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=total - first))
    with pytest.raises(DownloadError, match="needed"):
        unpack(archive, folder)
    assert not folder.exists()
    monkeypatch.undo()
    unpack(archive, folder)
    for name in list(members)[1:]:
        (folder / name).unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=total - first))
    assert unpack(archive, folder).kept == 1
