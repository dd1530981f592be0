"""Every kind of image file, written with Pillow and read back: colours and orientation."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, features

from vitruvian.data.images import as_image, image_size, read_image
from vitruvian.errors import ImageError, ShapeError


def blocks(rng: np.random.Generator, height: int = 96, width: int = 128, block: int = 16) -> np.ndarray:
    """Random colours in blocks of 16 x 16 pixels, so that lossy formats keep them at the blocks' centres."""
    colours = rng.integers(0, 256, (height // block, width // block, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((block, block, 1), np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"", depth: int = 8, colour: int = 2, **chunks: bytes) -> bytes:
    """A PNG by hand: ``pixels`` are the raw scan lines with their filter bytes."""
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    for kind, body in chunks.items():
        data += png_chunk(kind.encode(), body)
    return data + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")


# --- formats and colours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        (".png", {}, 0),
        (".bmp", {}, 0),
        (".ppm", {}, 0),
        (".tif", {}, 0),
        (".tiff", {"compression": "tiff_lzw"}, 0),
        (".webp", {"lossless": True}, 0),
        (".webp", {"quality": 90}, 12),
        (".jpg", {"quality": 95, "subsampling": 0}, 6),
        (".jpeg", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
        (".jp2", {}, 2),
        (".avif", {"quality": 95, "subsampling": "4:4:4"}, 12),
    ],
)
def test_formats_keep_their_colours(suffix, options, tolerance, rng, tmp_path):
    if suffix == ".avif" and "avif" not in features.get_supported():
        pytest.skip("this Pillow has no AVIF")
    image = blocks(rng)
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(image).save(path, **options)
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        array = read_image(source)
        assert array.shape == image.shape
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
        centres = np.abs(array[8::16, 8::16].astype(int) - image[8::16, 8::16])
        assert centres.max() <= tolerance
    with open(path, "rb") as file:
        np.testing.assert_array_equal(read_image(file), array)
    assert image_size(path) == (128, 96)


def test_the_content_decides_not_the_suffix(rng, tmp_path):
    image = blocks(rng)
    Image.fromarray(image).save(tmp_path / "photo.png")
    (tmp_path / "photo.png").rename(tmp_path / "photo.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg"), image)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_and_grey(kind, rng):
    gray = rng.integers(0, 256, (5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(gray), kind)), np.stack([gray] * 3, axis=2))
    bits = rng.random((5, 7)) < 0.5
    expected = np.stack([bits * np.uint8(255)] * 3, axis=2)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(bits), kind)), expected)


def test_grey_jpeg(tmp_path):
    Image.new("L", (16, 16), 77).save(tmp_path / "grey.jpg")
    assert np.abs(read_image(tmp_path / "grey.jpg").astype(int) - 77).max() <= 1


def test_alpha_is_laid_over_white():
    red = Image.new("RGBA", (3, 1), (200, 0, 0, 255))
    red.putpixel((1, 0), (200, 0, 0, 51))  # one fifth red, four fifths white
    red.putpixel((2, 0), (200, 0, 0, 0))
    expected = [[200, 0, 0], [244, 204, 204], [255, 255, 255]]
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read_image(encoded(red, kind))[0], expected)
    np.testing.assert_array_equal(read_image(encoded(red, "WEBP", lossless=True, exact=True))[0], expected)
    grey = Image.new("LA", (2, 1), (100, 255))
    grey.putpixel((1, 0), (100, 0))
    np.testing.assert_array_equal(read_image(encoded(grey, "PNG"))[0], [[100] * 3, [255] * 3])


def test_palette_with_and_without_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 0, 255])
    for x in range(3):
        image.putpixel((x, 0), x)
    opaque = [[10, 20, 30], [200, 100, 50], [0, 0, 255]]
    np.testing.assert_array_equal(read_image(encoded(image, "PNG"))[0], opaque)
    np.testing.assert_array_equal(read_image(encoded(image, "GIF"))[0], opaque)
    with_hole = [[10, 20, 30], [255, 255, 255], [0, 0, 255]]
    np.testing.assert_array_equal(read_image(encoded(image, "PNG", transparency=1))[0], with_hole)
    np.testing.assert_array_equal(read_image(encoded(image, "GIF", transparency=1))[0], with_hole)
    half = read_image(encoded(image, "PNG", transparency=bytes([255, 51, 0])))[0]
    np.testing.assert_array_equal(half, [[10, 20, 30], [244, 224, 214], [255, 255, 255]])


def test_transparent_colour_of_rgb_and_grey_png():
    rgb = Image.new("RGB", (2, 1), (1, 2, 3))
    rgb.putpixel((1, 0), (9, 9, 9))
    np.testing.assert_array_equal(
        read_image(encoded(rgb, "PNG", transparency=(9, 9, 9)))[0], [[1, 2, 3], [255, 255, 255]]
    )
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    np.testing.assert_array_equal(read_image(encoded(grey, "PNG", transparency=8))[0], [[7] * 3, [255] * 3])


@pytest.mark.parametrize("rgb", [(200, 30, 40), (20, 160, 220), (250, 250, 250), (5, 5, 5), (128, 90, 60)])
def test_cmyk_jpeg_and_tiff(rgb):
    ink = tuple(255 - value for value in rgb)
    cmyk = Image.new("CMYK", (32, 32), (*ink, 0))
    for data in (encoded(cmyk, "JPEG", quality=95), encoded(cmyk, "TIFF")):
        assert np.abs(read_image(data).astype(int) - rgb).max() <= 3
    with_black = Image.new("CMYK", (32, 32), (0, 0, 0, 55))
    assert np.abs(read_image(encoded(with_black, "JPEG", quality=95)).astype(int) - 200).max() <= 3


@pytest.mark.parametrize("rgb", [(200, 30, 40), (20, 160, 220), (128, 90, 60)])
def test_ycck_jpeg(rgb):
    """Pillow writes CMYK only, so a file is made whose four stored planes are Y, Cb, Cr of the inks, and no black.

    Adobe stores 255 - ink, and YCCK is the YCbCr of the complement of what is stored: of the inks themselves. Pillow
    complements what it stores, so it is given the complement of the planes wanted.
    """
    r, g, b = (255 - value for value in rgb)
    planes = (
        0.299 * r + 0.587 * g + 0.114 * b,
        128 - 0.168736 * r - 0.331264 * g + 0.5 * b,
        128 + 0.5 * r - 0.418688 * g - 0.081312 * b,
    )
    image = Image.new("CMYK", (32, 32), (*(255 - round(p) for p in planes), 0))
    data = bytearray(encoded(image, "JPEG", quality=98))
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0  # the marker's colour transform: none
    data[marker + 11] = 2  # YCCK
    assert np.abs(read_image(bytes(data)).astype(int) - rgb).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind, rng):
    values = np.array([[0, 128, 129, 257, 300, 32767, 32768, 65534, 65535, int(rng.integers(65536))]], np.uint16)
    array = read_image(encoded(Image.fromarray(values), kind))
    expected = np.round(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(array, np.stack([expected] * 3, axis=2))


def test_sixteen_bit_tiff_big_endian_and_white_is_zero():
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    expected = np.round(values / 257)[0]
    header = struct.pack(">2sHI", b"MM", 42, 16) + values.astype(">u2").tobytes()
    assert len(header) == 16
    for photometric, wanted in ((1, expected), (0, 255 - expected)):
        order = ">" if photometric else "<"
        pixels = values.astype(f"{order}u2").tobytes()
        tags = [(256, 4), (257, 1), (258, 16), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1), (279, 8)]
        data = struct.pack(f"{order}2sHI", b"MM" if photometric else b"II", 42, 16) + pixels
        data += struct.pack(f"{order}H", len(tags))
        for tag, value in tags:
            data += struct.pack(f"{order}HHII", tag, 4, 1, value)  # type 4: a 32-bit integer
        np.testing.assert_array_equal(read_image(data + bytes(4))[0, :, 0], wanted)


def test_sixteen_bit_colour_png():
    pixel = struct.pack(">6H", 0, 32768, 65535, 4660, 257, 65280)
    array = read_image(png(2, 1, b"\0" + pixel, depth=16))
    assert np.abs(array[0].astype(float) - np.array([[0, 32768, 65535], [4660, 257, 65280]]) / 257).max() <= 1
    # a transparent colour given in 16 bits must not make other pixels white
    array = read_image(png(2, 1, b"\0" + pixel, depth=16, tRNS=struct.pack(">3H", 4660, 257, 65281)))
    assert np.abs(array[0, 1].astype(float) - np.array([4660, 257, 65280]) / 257).max() <= 1


def test_sixteen_bit_grey_png_with_a_transparent_value():
    data = png(3, 1, b"\0" + struct.pack(">3H", 1000, 1001, 65535), depth=16, colour=0, tRNS=struct.pack(">H", 1001))
    np.testing.assert_array_equal(read_image(data)[0, :, 0], [4, 255, 255])


def test_float_and_32_bit_tiff():
    unit = Image.fromarray(np.array([[0.0, 0.25, 0.5, 1.0]], np.float32))
    np.testing.assert_array_equal(read_image(encoded(unit, "TIFF"))[0, :, 0], [0, 64, 128, 255])
    bytes_range = Image.fromarray(np.array([[0.0, 2.0, 254.6]], np.float32))
    np.testing.assert_array_equal(read_image(encoded(bytes_range, "TIFF"))[0, :, 0], [0, 2, 255])
    integers = Image.fromarray(np.array([[0, 257, 65535]], np.int32))
    np.testing.assert_array_equal(read_image(encoded(integers, "TIFF"))[0, :, 0], [0, 1, 255])
    for bad, words in (
        (np.array([[0.0, np.nan]], np.float32), "NaN"),
        (np.array([[-1.0, 3.0]], np.float32), "from -1 to 3"),
        (np.array([[0, 70000]], np.int32), "70000"),
    ):
        with pytest.raises(ImageError, match=words):
            read_image(encoded(Image.fromarray(bad), "TIFF"))


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_the_first_frame_of_an_animation(kind, options):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=40, **options)
    np.testing.assert_array_equal(read_image(data), np.array(frames[0]))


def test_a_colour_space_pillow_cannot_convert_is_named(tmp_path, monkeypatch):
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tif")

    def refuse(self, mode):
        raise ValueError("conversion not supported")

    monkeypatch.setattr(Image.Image, "convert", refuse)  # as Pillow does in some builds
    with pytest.raises(ImageError, match=r"lab\.tif.*'LAB' to RGB: conversion not supported"):
        read_image(tmp_path / "lab.tif")


@pytest.mark.parametrize("size_wh", [(1, 1), (20000, 1), (1, 20000), (3, 2)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_extreme_sizes(size_wh, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", size_wh, (90, 90, 90)).save(path)
    array = read_image(path)
    assert array.shape == (size_wh[1], size_wh[0], 3)
    assert np.abs(array.astype(int) - 90).max() <= 1
    assert image_size(path) == size_wh


# --- orientation ---------------------------------------------------------------------------------------------------

UPRIGHT = {  # EXIF 2.3, tag 0x0112: where the stored pixel (x, y) of a W x H image belongs
    1: lambda x, y, w, h: (x, y),
    2: lambda x, y, w, h: (w - 1 - x, y),
    3: lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    4: lambda x, y, w, h: (x, h - 1 - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - 1 - y, x),
    7: lambda x, y, w, h: (h - 1 - y, w - 1 - x),
    8: lambda x, y, w, h: (y, w - 1 - x),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
        (".webp", {"lossless": True}),
        (".jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_a_bright_pixel_under_every_orientation(orientation, suffix, options, rng, tmp_path):
    width, height = 31, 20
    x, y = int(rng.integers(width)), int(rng.integers(height))
    stored = np.zeros((height, width, 3), np.uint8)
    stored[y, x] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(stored).save(path, exif=exif, **options)
    array = read_image(path)
    right, down = UPRIGHT[orientation](x, y, width, height)
    assert np.unravel_index(int(array[..., 1].argmax()), array.shape[:2]) == (down, right)
    assert array[down, right].min() > 200
    assert image_size(path) == (array.shape[1], array.shape[0])
    assert array.flags.c_contiguous
    with Image.open(path) as image:
        np.testing.assert_array_equal(as_image(image)[0], array)
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), array)


def test_exif_behind_the_pixels_of_a_png(rng):
    """Some programs append it; Pillow sees it only once the pixels are decoded."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = blocks(rng, 32, 48)
    plain = encoded(Image.fromarray(image), "PNG")
    late = plain[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + plain[-12:]
    np.testing.assert_array_equal(read_image(late), np.rot90(image, -1))
    assert image_size(late) == (32, 48)
    assert image_size(plain) == (48, 32)


def test_image_size_decodes_nothing(rng, tmp_path, monkeypatch):
    for suffix in (".png", ".jpg", ".gif", ".tif", ".bmp"):
        Image.fromarray(blocks(rng)).save(tmp_path / f"photo{suffix}")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("pixels were decoded"))
    for path in tmp_path.iterdir():
        assert image_size(path) == (128, 96)


def test_damaged_exif_does_not_cost_the_photo(rng, tmp_path):
    image = blocks(rng)
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"):
        Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of it
            np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    exif = Image.Exif()
    exif[0x0112] = 99
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


# --- as_image ------------------------------------------------------------------------------------------------------


def test_as_image_of_arrays(rng):
    rgb = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    array, path = as_image(rgb)
    assert array is rgb
    assert path is None
    gray = rgb[..., 0]
    for given in (gray, gray[..., None]):
        np.testing.assert_array_equal(as_image(given)[0], np.stack([gray] * 3, axis=2))
    rgba = np.concatenate([rgb, np.full((4, 5, 1), 255, np.uint8)], axis=2)
    rgba[0, 0, 3] = 0
    expected = rgb.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(as_image(rgba)[0], expected)
    turned = as_image(rgb[:, ::-1])[0]
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, rgb[:, ::-1])


def test_as_image_of_paths_and_pil_images(rng, tmp_path):
    image = blocks(rng)
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    for given in (path, str(path), Image.open(path)):
        array, found = as_image(given)
        np.testing.assert_array_equal(array, image)
        assert found == path
    array, found = as_image(Image.fromarray(image).convert("RGBA"))
    np.testing.assert_array_equal(array, image)
    assert found is None


def test_as_image_leaves_a_pil_image_as_it_was():
    image = Image.new("RGB", (2, 1))
    image.info["transparency"] = (0, 0, 4000)
    as_image(image)
    assert image.info["transparency"] == (0, 0, 4000)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), r"uint8, got float32.*\* 255"),
        (np.zeros((4, 5, 3), np.uint16), "uint8, got uint16.*257"),
        (np.zeros((4, 5), bool), "uint8, got bool"),
        (np.zeros((3, 40, 50), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((4, 5, 2), np.uint8), r"\(H, W, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"\(1, 4, 5, 3\)"),
        (None, "shape"),
    ],
)
def test_as_image_refuses(array, words):
    with pytest.raises(ShapeError, match=words):
        as_image(array)


def test_real_photos(shared_data: Path):
    import json

    folder = shared_data / "photos" / "coco" / "train"
    entries = json.loads((folder / "person_keypoints_train2017.json").read_text())["images"]
    assert len(entries) > 50
    for entry in entries:
        path = folder / "images" / entry["file_name"]
        assert image_size(path) == (entry["width"], entry["height"])
    assert read_image(path).shape == (entries[-1]["height"], entries[-1]["width"], 3)
