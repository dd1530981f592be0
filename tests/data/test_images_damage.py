"""Damaged and huge image files, and what reading leaves alone."""

from __future__ import annotations

import io
import struct
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile
from tests.data.test_images import blocks, encoded, png

from vitruvian.data import images as images_module
from vitruvian.data.images import MAX_PIXELS, as_image, image_size, read_image
from vitruvian.errors import ImageError


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on cut TIFF tags
@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", {}),
        (".jpg", {"progressive": True}),
        (".png", {}),
        (".webp", {}),
        (".webp", {"lossless": True}),
        (".gif", {}),
        (".bmp", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".ppm", {}),
    ],
)
def test_truncated_files_are_named(part, suffix, options, rng, tmp_path):
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: max(1, int(len(data) * part))])
    with pytest.raises(ImageError, match=rf"cut\{suffix}: ") as caught:
        read_image(path)
    assert caught.value.path == str(path)
    assert caught.value.problem


def test_corrupt_files_are_named(rng, tmp_path):
    image = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    data = bytearray(encoded(image, "PNG"))
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.png.*PNG"):
        read_image(tmp_path / "bad.png")
    (tmp_path / "bad.gif").write_bytes(b"GIF89a" + bytes(40))
    with pytest.raises(ImageError, match=r"bad\.gif"):
        read_image(tmp_path / "bad.gif")


def test_random_damage_never_escapes_as_another_error(rng):
    originals = [
        encoded(Image.fromarray(blocks(rng, 32, 48)), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
    ]
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in originals:
            for _ in range(40):
                damaged = bytearray(data)
                for position in rng.integers(8, len(data), 4):
                    damaged[position] = rng.integers(256)
                try:
                    array = read_image(bytes(damaged), max_pixels=10_000_000)
                    assert array.ndim == 3
                except ImageError:
                    refused += 1
    assert refused > 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"these are some words, not an image", "not an image of a known format.*these are"),
        (b"\xff\xd8", "truncated"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC.*convert"),
    ],
)
def test_what_is_no_image(content, words, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for function in (read_image, image_size, as_image):
        with pytest.raises(ImageError, match=rf"photo\.jpg.*{words}"):
            function(path)


def test_no_file_a_folder_and_wrong_types(tmp_path):
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="binary mode"):
        read_image(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="got a list"):
        read_image([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="<4 bytes>"):
        read_image(b"abcd")


def webp_header(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little") + b"VP8 " + struct.pack("<I", 10) + bytes(10)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "bomb",
    [
        png(60000, 60000),
        webp_header(60000, 60000),
        b"GIF89a" + struct.pack("<HH", 60000, 60000) + bytes(40),
        b"P6 60000 60000 255\n" + bytes(40),
    ],
    ids=["png", "webp", "gif", "ppm"],
)
@pytest.mark.parametrize("pillow_limit", [None, 100])
def test_bombs_are_refused_by_their_header(bomb, pillow_limit, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)  # whatever Pillow's own setting is
    monkeypatch.setattr(images_module, "_decode", lambda *_: pytest.fail("a bomb was decoded"))
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (read_image, image_size, as_image):
            with pytest.raises(ImageError, match=r"bomb\.png.*60000 x 60000 = 3600 million.*max_pixels"):
                function(path)


def test_the_pixel_limit_is_the_callers(rng, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    image = blocks(rng, 16, 32)
    data = encoded(Image.fromarray(image), "PNG")
    np.testing.assert_array_equal(read_image(data, max_pixels=16 * 32), image)
    with pytest.raises(ImageError, match="32 x 16"):
        read_image(data, max_pixels=16 * 32 - 1)
    with pytest.raises(ImageError, match="32 x 16"):
        as_image(Image.fromarray(image), max_pixels=16 * 32 - 1)
    assert MAX_PIXELS >= 200_000_000


def test_reading_leaves_pillows_settings_alone_and_closes_the_file(rng, tmp_path):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    path = tmp_path / "a.png"
    Image.fromarray(blocks(rng)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        read_image(path)
        image_size(path)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (before[0], False)


def test_a_callers_file_stays_open(rng):
    file = io.BytesIO(b"header" + encoded(Image.fromarray(blocks(rng)), "PNG"))
    file.seek(6)
    assert read_image(file).shape == (96, 128, 3)
    assert not file.closed


def test_threads_read_alike(rng, tmp_path):
    paths = []
    for i in range(8):
        paths.append(tmp_path / f"{i}.webp")
        Image.fromarray(blocks(rng)).save(paths[-1])
    wanted, got = [read_image(p) for p in paths], [None] * 8

    def read(i: int) -> None:
        got[i] = read_image(paths[i])

    threads = [threading.Thread(target=read, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(wanted, got, strict=True):
        np.testing.assert_array_equal(a, b)
