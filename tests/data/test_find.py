"""Which image files paths, folders and globs stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitruvian.data.find import IMAGE_SUFFIXES
from vitruvian.data.images import find_images
from vitruvian.errors import ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in (
        "img10.jpg", "img2.JPG", "img1.png", "notes.txt", "._img1.png", ".hidden.jpg", "weird[1].webp",
        "sub/b.jpg", "sub/deep/a.png", "empty/readme.md", ".cache/c.jpg",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_in_natural_order(folder):
    assert names(find_images(folder), folder) == ["img1.png", "img2.JPG", "img10.jpg", "weird[1].webp"]
    assert names(find_images([folder], recursive=True), folder) == [
        "img1.png", "img2.JPG", "img10.jpg", "sub/b.jpg", "sub/deep/a.png", "weird[1].webp",
    ]  # fmt: skip


def test_files_are_taken_as_given(folder):
    assert names(find_images([folder / "notes.txt", str(folder / "img10.jpg")]), folder) == ["img10.jpg", "notes.txt"]
    assert names(find_images(folder / "weird[1].webp"), folder) == ["weird[1].webp"]


def test_globs(folder):
    assert names(find_images(str(folder / "img*")), folder) == ["img1.png", "img2.JPG", "img10.jpg"]
    assert names(find_images(str(folder / "img?.*")), folder) == ["img1.png", "img2.JPG"]
    assert names(find_images(str(folder / "**" / "*.jpg")), folder) == ["img10.jpg", "sub/b.jpg"]
    assert names(find_images(str(folder / "s*")), folder) == ["sub/b.jpg"]  # a folder stands for its images


def test_no_duplicates_and_spelt_as_given(folder, monkeypatch):
    (folder / "link.jpg").symlink_to(folder / "img10.jpg")
    found = find_images([folder / "img10.jpg", folder, str(folder / "*.jpg")])
    assert len(found) == 4
    assert folder / "img10.jpg" in found
    monkeypatch.chdir(folder)
    assert find_images(["img1.png", folder / "img1.png", "./img1.png"]) == [Path("img1.png")]
    assert find_images(".")[0] == Path("img1.png")


def test_what_matches_nothing_is_named(folder):
    for path, words in (
        (folder / "none.jpg", r"none\.jpg: no such file or folder"),
        (folder / "*.gif", r"\*\.gif: the pattern matches no image"),
        (folder / "*.txt", r"\*\.txt: the pattern matches no image"),
        (folder / "empty", "empty: folder has no images"),
    ):
        with pytest.raises(ImageError, match=words):
            find_images([folder, path])
    (folder / "outer" / "inner").mkdir(parents=True)
    (folder / "outer" / "inner" / "a.jpg").touch()
    with pytest.raises(ImageError, match="search recursively"):
        find_images(folder / "outer")
    assert find_images([]) == []


def test_a_link_to_the_folder_above_does_not_loop(folder):
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    assert len(find_images(folder, recursive=True)) == 6


def test_natural_order_of_mixed_names(tmp_path):
    wanted = ["1.jpg", "2.jpg", "10.jpg", "a.jpg", "B1.jpg", "b02.jpg", "b10.jpg", "c.jpg"]
    for name in wanted:
        (tmp_path / name).touch()
    assert names(find_images(tmp_path), tmp_path) == wanted


def test_suffixes_are_lower_case_with_a_dot():
    assert all(s == s.lower() and s.startswith(".") for s in IMAGE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".heic"} <= set(IMAGE_SUFFIXES)


def test_an_empty_path_is_not_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(find_images(".")) == 4
    for paths in ("", [""], ["img1.png", ""]):
        with pytest.raises(ImageError, match="is no path"):
            find_images(paths)
