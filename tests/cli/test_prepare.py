"""``vitruvian prepare coco``: what it says, what it refuses, and one download from end to end."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitruvian.data.prepare_coco import ANNOTATIONS, ARCHIVES, Archive
from vitruvian.skeletons import COCO17


@pytest.fixture
def prepare(call):
    return lambda *arguments: call("prepare", *arguments)


def annotations() -> dict:
    """Two images; one good person and one with four joints, both in the first."""
    people = [
        {
            "id": joints,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [1, 1, 50, 90],
            "keypoints": [5, 5, 2] * joints + [0] * 3 * (17 - joints),
        }
        for joints in (17, 4)
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 96} for i in (1, 2)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}],
    }


def fill(folder: Path) -> Path:
    for split in ("train", "val"):
        (folder / f"{split}2017").mkdir(parents=True)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / f"annotations/person_keypoints_{split}2017.json").write_text(json.dumps(annotations()))
        for name in ("1.jpg", "2.jpg"):
            (folder / f"{split}2017" / name).write_bytes(b"no need to decode it")
    return folder


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """COCO in small, behind the names of the real archives."""
    origin, site = fill(tmp_path / "origin"), tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as running:
        for name, entry in ARCHIVES.items():
            path = site / entry.file_name
            with zipfile.ZipFile(path, "w") as file:
                for member in sorted((origin / ("annotations" if name == ANNOTATIONS else f"{name}2017")).iterdir()):
                    file.write(member, member.relative_to(origin).as_posix())
            data, url = path.read_bytes(), f"http://127.0.0.1:{running.server_port}/{path.name}"
            sha256, images = hashlib.sha256(data).hexdigest(), 0 if name == ANNOTATIONS else 2
            monkeypatch.setitem(ARCHIVES, name, Archive(url, len(data), sha256, 10.0, images))
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield origin
        finally:
            running.shutdown()
            thread.join()


def test_download(prepare, source, tmp_path):
    out = tmp_path / "coco"
    done = prepare("coco", "--out", out)
    assert done.exit_code == 0, done.output
    assert files(out) == files(source)
    for words in (
        "2 of 2 images there; 1 image with people",
        "2 people; filter for training: 1 of 2 people in 1 of 2 images kept",
        "train:\n  - {format: coco, path:",
        f'vitruvian evaluate MODEL coco "{out}/annotations/person_keypoints_val2017.json" --images "{out}/val2017"',
    ):
        assert words in done.stdout
    assert "downloading train2017.zip" in done.stderr  # no bar where there is no terminal
    again = prepare("coco", "--out", out)
    assert again.exit_code == 0
    assert "downloading" not in again.stderr


def test_dry_run(prepare, source, tmp_path, monkeypatch):
    out = tmp_path / "coco"
    done = prepare("coco", "--out", out, "--dry-run")
    assert done.exit_code == 0
    assert all(archive.url in done.stdout for archive in ARCHIVES.values())
    assert "enough. Nothing was written." in done.stdout
    assert "train2017" not in prepare("coco", "--out", out, "--dry-run", "--split", "val").stdout
    assert "val2017.zip" not in prepare("coco", "--out", out, "--dry-run", "--no-images").stdout.replace("trainval", "")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    assert "free: 5 bytes" in prepare("coco", "--out", out, "--dry-run").stdout
    assert "too little" in prepare("coco", "--out", out, "--dry-run").stdout
    done = prepare("coco", "--out", out)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert "too little" in done.stderr
    assert not out.exists()


def test_dry_run_without_a_server(prepare, tmp_path, monkeypatch):
    for name in ARCHIVES:
        monkeypatch.setitem(ARCHIVES, name, Archive(f"http://127.0.0.1:9/{name}.zip", 1000, None, 1.0, 1))
    done = prepare("coco", "--out", tmp_path / "coco", "--dry-run")
    assert done.exit_code == 0
    assert "could not be asked, so sizes are the known ones" in done.stdout
    assert "1.0 kB" in done.stdout


def test_adopt(prepare, tmp_path):
    folder = fill(tmp_path / "there")
    before = files(folder)
    done = prepare("coco", "--adopt", folder)
    assert done.exit_code == 0
    assert "2 of 2 images there" in done.stdout
    assert "train:\n" in done.stdout
    assert files(folder) == before
    (folder / "val2017/1.jpg").unlink()
    done = prepare("coco", "--adopt", folder, "--split", "val")
    assert "1 of 2 images there (1 missing, their people are left out)" in done.stdout
    assert "0 people" in done.stdout
    assert "train:" not in done.stdout
    done = prepare("coco", "--adopt", folder, "--no-images")
    assert "2 images listed" in done.stdout
    assert "Annotations alone" in done.stdout
    done = prepare("coco", "--adopt", tmp_path)
    assert done.exit_code == 1
    assert "no annotations of 'train'" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--out", "a", "--adopt", "b"),
        ("--adopt", "a", "--dry-run"),
        ("--adopt", "a", "--keep-zips"),
        ("--out", "a", "--split", "test"),
    ],
)
def test_misuse(prepare, arguments):
    assert prepare("coco", *arguments).exit_code == 2


def test_the_group_lists_its_data_sets(prepare):
    assert "coco" in prepare("--help").stdout
    assert "--adopt" in prepare("coco", "--help").stdout
