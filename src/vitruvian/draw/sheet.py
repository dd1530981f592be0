"""`contact_sheet`: many images, with or without people, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..data.images import as_image
from ..errors import ImageError, VitruvianError
from ..geometry import Affine
from ..types import Poses, Record
from . import palette, strokes
from .skeleton import figures_of, line_width, paint_figure

_PAPER = (26, 28, 34)
_EMPTY = (46, 49, 58)
_INK = (222, 224, 230)
_TEXT_SIZE = 13
_CAPTION_PX = 20


def contact_sheet(
    images: Sequence[Any],
    people: Sequence[Poses | Record | None] | None = None,
    *,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
    tile_wh: tuple[int, int] = (240, 240),
    gap: int = 8,
    threshold: float | None = None,
) -> np.ndarray:
    """One picture of many images, each fitted into a tile, with its people and a caption.

    Parameters
    ----------
    images : n images as in `draw`, or records, whose images and people are shown.
    people : n predictions or records to draw, None where there are none. A record of ``images`` needs no entry.
    captions : n lines; by default file names where any is known.
    columns : tiles in a row; by default about as many as rows.
    tile_wh : (width, height) of a tile, pixels. Images keep their proportions.
    gap : pixels between tiles and around them.
    threshold : predicted joints with a lower score are not drawn; None: see `Poses.shown`.

    Returns
    -------
    (rows (h + c + gap) + gap, columns (w + gap) + gap, 3) uint8 RGB with c = 20, or 0 where no tile has a caption.
    An image that cannot be read leaves its tile empty but for the words "cannot be read".

    Raises
    ------
    VitruvianError
        No images, or ``people`` or ``captions`` of another length.
    """
    count = len(images)
    for name, values in (("people", people), ("captions", captions)):
        if values is not None and len(values) != count:
            raise VitruvianError(f"got {count} images but {len(values)} {name}; expected one for each image")
    if count == 0 or min(tile_wh) < 1 or gap < 0 or (columns is not None and columns < 1):
        raise VitruvianError(
            f"a contact sheet needs images, a tile and a column at least, got {count} images, "
            f"tiles of {tile_wh}, gap {gap}, columns {columns}"
        )
    columns = min(count, columns or math.ceil(math.sqrt(count)))
    lines = [_caption(image) for image in images] if captions is None else [str(line) for line in captions]
    caption_px = _CAPTION_PX if any(lines) else 0
    tile_w, tile_h = tile_wh
    step_x, step_y = tile_w + gap, tile_h + caption_px + gap
    sheet = np.empty((math.ceil(count / columns) * step_y + gap, columns * step_x + gap, 3), np.uint8)
    sheet[...] = _PAPER
    for i, image in enumerate(images):
        y, x = gap + i // columns * step_y, gap + i % columns * step_x
        drawn = people[i] if people is not None and people[i] is not None else image
        _paint_tile(sheet[y : y + tile_h, x : x + tile_w], image, drawn, threshold)
        if caption_px:
            strip = sheet[y + tile_h : y + tile_h + caption_px, x : x + tile_w]
            strokes.text(strip, (1, 4), lines[i], _TEXT_SIZE, _INK, max_width=tile_w - 2)
    return sheet


def _caption(image: Any) -> str:
    if isinstance(image, Record):
        return image.image_path.name if image.image_path is not None else str(image.image_id)
    if isinstance(image, np.ndarray):
        return ""
    name = getattr(image, "filename", image)  # a PIL image that was opened from a file knows its name
    return str(name).replace("\\", "/").rsplit("/", 1)[-1] if not isinstance(name, Image.Image) else ""


def _paint_tile(tile: np.ndarray, image: Any, people: Any, threshold: float | None) -> None:
    """Fill ``tile``, a window of the sheet, in place."""
    tile_h, tile_w = tile.shape[:2]
    tile[...] = _EMPTY
    try:
        array = _pixels(image)
    except ImageError:
        strokes.text(tile, (6, 6), "cannot be read", _TEXT_SIZE, palette.PREDICTION, max_width=tile_w - 8)
        return
    height, width = array.shape[:2]
    scale = min(tile_w / width, tile_h / height)
    w, h = max(1, min(tile_w, round(width * scale))), max(1, min(tile_h, round(height * scale)))
    x, y = (tile_w - w) // 2, (tile_h - h) // 2
    small = np.array(Image.fromarray(array).resize((w, h), Image.Resampling.BICUBIC, reducing_gap=3.0))
    if isinstance(people, Poses | Record):
        frame_to_small = Affine.resize((width, height), (w, h))
        figures = [figure.moved(frame_to_small) for figure in figures_of(people, threshold)]
        limb_colors = palette.edge_colors(people.skeleton)
        for i, figure in enumerate(figures):
            color = palette.person_color(i) if len(figures) > 1 else palette.WHITE
            paint_figure(small, figure, limb_colors=limb_colors, joint_color=color, width=line_width(figure, (w, h)))
    tile[y : y + h, x : x + w] = small


def _pixels(image: Any) -> np.ndarray:
    if not isinstance(image, Record):
        return as_image(image)[0]
    if image.image_path is None:
        raise ImageError(image.image_id, "the annotation names no image file")
    return as_image(image.image_path)[0]
