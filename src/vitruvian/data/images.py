"""Image files to RGB arrays and back: the only place of the package where images are decoded.

Whatever a file holds, what comes out is (H, W, 3) uint8 RGB as a person would see it: EXIF orientation applied, the
first frame of an animation, transparency laid over white, CMYK converted without a colour profile (Adobe's inverted
JPEGs included), and 16-bit grey scaled by its full range rather than clipped. RGB colour profiles are not applied,
as in the tools that make training data. A file that is damaged, truncated, or larger than a pixel limit is an
`ImageError` that names it.

Decoders are chosen here by the first bytes of the file and called one by one, instead of through ``PIL.Image.open``:
its pixel limit is a process-wide setting that warns before it refuses, and it would also try formats that start
other programs. (One global remains: where another library sets ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``, Pillow
fills the rest of a truncated file with grey, and nobody can tell.)
"""

from __future__ import annotations

import importlib
import io
import os
import re
import secrets
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ..errors import ImageError, ShapeError
from .find import IMAGE_SUFFIXES, find_images

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "as_image", "find_images", "image_size", "read_image", "write_image"]

MAX_PIXELS = 225_000_000
"""Images with more pixels than this are refused unless the caller asks for more: room for a 200-megapixel phone."""

_DECODERS = {  # format: (module of Pillow, its class)
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "JPEG 2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "WebP": ("WebPImagePlugin", "WebPImageFile"),
}
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {  # suffix: (Pillow's format, its options)
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0}),  # 4:4:4: thin coloured lines smear with fewer colours
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".png": ("PNG", {"compress_level": 4}),
    ".webp": ("WEBP", {"quality": 90, "method": 2}),
}
_ORIENTATION = 0x0112  # EXIF and TIFF share this tag
_BACKGROUND = (255, 255, 255)

ImageSource = str | os.PathLike | bytes | bytearray | memoryview | IO[bytes]
"""What `read_image` takes: a path, the bytes of a file, or a file opened in binary mode."""


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode one image.

    Parameters
    ----------
    source : path, bytes of an image file, or binary file object (read from its present position to its end).
    max_pixels : refuse larger images, by their header and before anything is decoded. Pillow by itself refuses WebP
        and TIFF above 179 million pixels.

    Returns
    -------
    (H, W, 3) uint8 RGB, C-contiguous and writable.

    Raises
    ------
    ImageError
        No such file, an empty, damaged, truncated or too large one, or a kind that cannot be decoded.
    """
    name = _name_of(source)
    with _open(source, name) as file:
        image, _ = _open_header(file, name, max_pixels)
        return _decode(image, name)


def image_size(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels as `read_image` would return it, from the header alone. Raises `ImageError`."""
    name = _name_of(source)
    with _open(source, name) as file:
        image, kind = _open_header(file, name, max_pixels)
        if kind == "TIFF":  # Pillow's versions differ in whether size is already turned; the tags are not
            tags = image.tag_v2  # type: ignore[attr-defined]
            width, height, orientation = tags[256], tags[257], tags.get(_ORIENTATION, 1)
        else:
            width, height = image.size
            orientation = _orientation(image, in_header=kind == "PNG" and not _png_metadata_follows(file))
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def as_image(image: Any, *, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Path | None]:
    """Whatever a caller calls an image, as an RGB array, and its path where it has one.

    Parameters
    ----------
    image : a path; a PIL image (its EXIF orientation is applied); or a uint8 array: (H, W, 3) RGB, (H, W) or
        (H, W, 1) grey, (H, W, 4) RGBA, which is laid over white. OpenCV's BGR cannot be told apart: turn it round
        first with ``image[..., ::-1]``.
    max_pixels : as in `read_image`.

    Returns
    -------
    ((H, W, 3) uint8 RGB, C-contiguous, path or None). A contiguous RGB array is returned itself, not copied.

    Raises
    ------
    ImageError
        A file that cannot be read.
    ShapeError
        An array of another shape or dtype (floats too: whether they span 0..1 or 0..255 would be a guess).
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image, max_pixels=max_pixels), Path(image)
    if isinstance(image, Image.Image):
        filename = getattr(image, "filename", "")
        path = Path(os.fsdecode(filename)) if filename else None
        _check_size(image.size, path or "PIL image", max_pixels)
        return _decode(image, str(path or "PIL image")), path
    try:
        array = np.asarray(image)
    except Exception as error:  # e.g. a tensor on another device: its message is worth passing on
        raise ShapeError(f"cannot make an image of a {type(image).__name__}: {error}") from error
    return _check_array(array), None


def write_image(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Write an array as PNG, JPEG or WebP, by suffix; the file appears complete or not at all.

    Parameters
    ----------
    path : an existing file is replaced; the folder must exist.
    image : as in `as_image`.

    Raises
    ------
    ImageError
        Another suffix, or a file that cannot be written.
    ShapeError
        Not an image.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ImageError(path, f"cannot write images as '{path.suffix}'; use one of {', '.join(sorted(_WRITERS))}")
    kind, options = _WRITERS[path.suffix.lower()]
    array, _ = as_image(image)
    # Beside the target, so that os.replace stays on one file system; opened plainly, so that the usual permissions
    # apply (tempfile would make it private).
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            Image.fromarray(array).save(file, format=kind, **options)
        os.replace(temporary, path)
    except (OSError, ValueError, KeyError) as error:
        temporary.unlink(missing_ok=True)
        raise ImageError(path, f"cannot be written: {_reason(error)}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


# --- opening -------------------------------------------------------------------------------------------------------


def _name_of(source: ImageSource) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    return str(getattr(source, "name", "<file object>"))


def _open(source: ImageSource, name: str) -> IO[bytes]:
    if isinstance(source, str | os.PathLike):
        try:
            return open(source, "rb")
        except FileNotFoundError as error:
            raise ImageError(name, "no such file") from error
        except IsADirectoryError as error:
            raise ImageError(name, "is a folder, expected an image file") from error
        except (OSError, ValueError) as error:
            raise ImageError(name, f"cannot be opened: {_reason(error)}") from error
    if not isinstance(source, bytes | bytearray | memoryview):
        if not hasattr(source, "read"):
            raise ImageError(name, f"expected a path, bytes or a binary file, got a {type(source).__name__}")
        source = source.read()
        if not isinstance(source, bytes):
            raise ImageError(name, f"expected a file opened in binary mode, reading it gave {type(source).__name__}")
    return io.BytesIO(source)


def _open_header(file: IO[bytes], name: str, max_pixels: int) -> tuple[Image.Image, str]:
    """The still undecoded image and its format; its size has been checked."""
    head = file.read(32)
    file.seek(0)
    if not head:
        raise ImageError(name, "is empty (0 bytes)")
    kind = _format_of(head, name)
    size_wh = _early_size(head, kind)
    if size_wh is not None:
        _check_size(size_wh, name, max_pixels)
    module, decoder = _DECODERS[kind]
    try:
        image = getattr(importlib.import_module(f"PIL.{module}"), decoder)(file)
    except ImportError as error:
        raise ImageError(name, f"is {kind}, which this Pillow cannot decode: {_reason(error)}") from error
    except Exception as error:  # decoders meet damage with a dozen kinds of exceptions
        raise ImageError(name, f"damaged or truncated {kind} file: {_reason(error)}") from error
    _check_size(image.size, name, max_pixels)
    return image, kind


def _format_of(head: bytes, name: str) -> str:
    for kind, starts in (
        ("JPEG", (b"\xff\xd8\xff",)),
        ("PNG", (b"\x89PNG\r\n\x1a\n",)),
        ("GIF", (b"GIF87a", b"GIF89a")),
        ("TIFF", (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")),
        ("BMP", (b"BM",)),
        ("JPEG 2000", (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \r\n\x87\n")),
    ):
        if head.startswith(starts):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-6]\s", head):
        return "PPM"
    if head[4:8] == b"ftyp":
        if head[8:12] in (b"avif", b"avis"):
            return "AVIF"
        if head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
            raise ImageError(name, "is HEIC, which Pillow cannot decode; convert it to JPEG or PNG first")
    if any(kind.startswith(head) for kind in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF")):
        raise ImageError(name, f"truncated: it ends after {len(head)} bytes")
    known = ", ".join(_DECODERS)
    raise ImageError(name, f"is not an image of a known format ({known}); it begins with {head[:12]!r}")


def _early_size(head: bytes, kind: str) -> tuple[int, int] | None:
    """Canvas of the formats whose decoders reserve it as soon as they are opened; None elsewhere."""
    if kind == "GIF" and len(head) >= 10:
        return struct.unpack("<HH", head[6:10])
    if kind != "WebP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _check_size(size_wh: tuple[int, int], name: object, max_pixels: int) -> None:
    width, height = size_wh
    if width * height > max_pixels:
        raise ImageError(
            name,
            f"its header says {width} x {height} = {width * height / 1e6:.0f} million pixels, more than the limit of "
            f"{max_pixels / 1e6:.6g} million; if you trust the file, raise max_pixels",
        )


def _png_metadata_follows(file: IO[bytes]) -> bool:
    """Whether a PNG has chunks that may hold EXIF data after its pixels; reads chunk headers only."""
    back, seen_pixels = file.tell(), False
    file.seek(8)
    try:
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            seen_pixels |= kind == b"IDAT"
            if seen_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(back)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


# --- decoding ------------------------------------------------------------------------------------------------------


def _decode(image: Image.Image, name: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PIL image, orientation applied, C-contiguous and writable."""
    kind = image.format or "image"
    try:
        image.load()
    except Exception as error:  # see `_open_header`
        raise ImageError(name, f"damaged or truncated {kind} file: {_reason(error)}") from error
    try:
        array = _to_rgb(image, name)
    except (ValueError, OSError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(name, f"cannot be converted from '{image.mode}' to RGB: {_reason(error)}") from error
    # After `load`: Pillow turns TIFF by itself there, and takes the tag away.
    return np.ascontiguousarray(_turn(array, _orientation(image)))


def _orientation(image: Image.Image, in_header: bool = False) -> int:
    """EXIF orientation 1..8; 1 where there is none, or EXIF is damaged (which must not cost the photo).

    ``in_header`` skips the search of PNG's own ``getexif``, which decodes all pixels to look behind them.
    """
    try:
        exif = Image.Image.getexif(image) if in_header else image.getexif()
        value = exif.get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in range(1, 9) else 1


def _turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF orientation (tag 0x0112: where the stored row 0 and column 0 belong on the upright photo)."""
    if orientation >= 5:  # rows were stored as columns
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_deep_gray_to_uint8(image, name)[..., None], 3, axis=2)
    transparency = image.info.get("transparency")
    if isinstance(transparency, tuple) and max(transparency) > 255:
        image = image.copy()  # the caller's stays as it is
        del image.info["transparency"]  # given in 16 bits, while Pillow keeps 8 of the pixels: it would hit at random
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return _over_background(rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _over_background(rgba: Image.Image) -> np.ndarray:
    background = Image.new("RGB", rgba.size, _BACKGROUND)
    background.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return np.array(background)


def _deep_gray_to_uint8(image: Image.Image, name: str) -> np.ndarray:
    """(H, W) uint8 from grey of 12, 16 or 32 bits.

    12 and 16 bits are scaled by their full range. 32-bit integers and floats have no agreed range: floats within
    0..1 are scaled by 255, values within 0..255 stay, within 0..65535 they are 16-bit; anything else is refused.
    """
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        bits = int(tags.get(258, (16,))[0])
        full = 2**bits - 1
        if tags.get(262) == 0:  # white is zero, which Pillow turns round for 8 bits only
            values = full - values
        gray = ((values.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)
        if isinstance(image.info.get("transparency"), int):
            gray[values == image.info["transparency"]] = _BACKGROUND[0]
        return gray
    if not np.isfinite(values).all():
        raise ImageError(name, "has pixels that are NaN or infinite, expected finite values")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        raise ImageError(name, f"has 32-bit pixels from {low:g} to {high:g}; expected 0..1, 0..255 or 0..65535")
    if image.format in ("PNG", "PPM"):  # older Pillow holds these 16-bit files in 32 bits
        scale = 255 / 65535
    elif image.mode == "F" and high <= 1:
        scale = 255.0
    else:
        scale = 1.0 if high <= 255 else 255 / 65535
    return (values * scale + 0.5).astype(np.uint8)


def _check_array(array: np.ndarray) -> np.ndarray:
    shape = array.shape
    hint = ""
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        hint = "; its channels seem to come first: use image.transpose(1, 2, 0)"
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)) or array.size == 0:
        expected = "(H, W, 3) RGB, (H, W) grey or (H, W, 4) RGBA"
        raise ShapeError(f"an image must have the shape {expected} and at least one pixel, got {shape}{hint}")
    if array.dtype != np.uint8:
        fix = ""
        if np.issubdtype(array.dtype, np.floating):
            fix = "; for values in 0..1 use (image * 255).round().astype(numpy.uint8)"
        elif array.dtype == np.uint16:
            fix = "; for 16-bit values use (image // 257).astype(numpy.uint8)"
        raise ShapeError(f"an image must be uint8, got {array.dtype}{fix}")
    if array.ndim == 2 or shape[2] == 1:
        return np.repeat(array.reshape(*shape[:2], 1), 3, axis=2)
    if shape[2] == 4:
        return _over_background(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(array)
