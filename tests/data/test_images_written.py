"""Images are written whole or not at all, and read back as they were."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest
from PIL import Image
from tests.data.test_images import blocks

from vitruvian.data.images import read_image, write_image
from vitruvian.errors import ImageError, ShapeError


def test_written_images_read_back(rng, tmp_path):
    image = blocks(rng)
    for suffix, tolerance in ((".png", 0), (".PNG", 0), (".jpg", 8), (".jpeg", 8), (".webp", 16)):
        path = write_image(tmp_path / f"a{suffix}", image)
        assert np.abs(read_image(path)[8::16, 8::16].astype(int) - image[8::16, 8::16]).max() <= tolerance
    write_image(str(tmp_path / "grey.png"), image[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 2], image[..., 0])
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_a_written_file_has_the_usual_permissions(rng, tmp_path):
    path = write_image(tmp_path / "a.png", blocks(rng))
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("failing", ["save", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(failing, rng, tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.png", blocks(rng))
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("no space left on device")

    if failing == "save":
        monkeypatch.setattr(Image.Image, "save", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written: no space left"):
        write_image(path, blocks(rng))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_written(rng, tmp_path):
    with pytest.raises(ImageError, match=r"\.bmp.*\.png"):
        write_image(tmp_path / "a.bmp", blocks(rng))
    with pytest.raises(ImageError, match=r"a\.png: cannot be written"):
        write_image(tmp_path / "no folder" / "a.png", blocks(rng))
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.uint8))  # WebP ends at 16383
    with pytest.raises(ShapeError):
        write_image(tmp_path / "a.png", np.zeros((4, 4), np.float32))
    assert list(tmp_path.iterdir()) == []
