"""Predictions over ground truth: `compare` one, `side_by_side` several, e.g. of two trainings.

Truth is red and prediction yellow, as system 2 draws them; its marks, ``*`` and ``x``, are an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ShapeError, VitruvianError
from ..geometry import Affine
from ..skeletons import Skeleton
from ..types import Person, Poses, Record
from . import palette, strokes
from .palette import Color
from .skeleton import (
    Figure,
    canvas_of,
    extent_px,
    figure_of_person,
    figures_of,
    line_width,
    paint_figure,
    rim_width,
    text_size,
)

Truth = Record | Person | Sequence[Person] | np.ndarray
"""A record, one or more annotated people (joints labelled as hidden get a dark centre), or an array (K, 2) or
(N, K, 2) in pixels with NaN for joints that are not labelled."""

_PAPER = (26, 28, 34)
_INK = (222, 224, 230)
_STAR_DEGREES = (90, 30, 150)
_CROSS_DEGREES = (45, 135)


def compare(
    image: Any,
    truth: Truth,
    poses: Poses,
    *,
    threshold: float | None = None,
    skeleton: Skeleton | None = None,
    legend: bool = True,
    marks: bool = False,
    height_px: int | None = None,
) -> np.ndarray:
    """Draw ground truth in red and a prediction over it in yellow, on a copy of an image.

    Parameters
    ----------
    image : the image of both, as in `draw`.
    truth : see `Truth`.
    poses : the prediction; joints with a score under ``threshold`` (None: see ``poses.shown``) are not drawn.
    skeleton : of ``truth`` unless it is a record; the prediction's by default.
    legend : say in a corner which colour is what.
    marks : a ``*`` at each true joint and an ``x`` at each predicted one over thin limbs, instead of discs: they stay
        apart where truth and prediction nearly agree.
    height_px : of the picture, which then is a scaled copy; None keeps the image's size.

    Returns
    -------
    (H, W, 3) uint8 RGB.

    Raises
    ------
    ShapeError
        Joints that do not fit the skeleton, an image of another size than the poses', or no height.
    """
    canvas, frame_to_canvas = _scaled(canvas_of(image, poses), height_px)
    size_wh = canvas.shape[1], canvas.shape[0]
    layers = (
        (palette.TRUTH, _STAR_DEGREES, _truth_figures(truth, skeleton or poses.skeleton)),
        (palette.PREDICTION, _CROSS_DEGREES, figures_of(poses, threshold)),
    )
    for color, degrees, figures in layers:
        for figure in (figure.moved(frame_to_canvas) for figure in figures):
            limbs, width = [color] * len(figure.skeleton.edges), 0.8 * line_width(figure, size_wh)
            if marks:
                paint_figure(canvas, figure, limb_colors=limbs, joint_color=color, width=0.6 * width, style="limbs")
                _paint_marks(canvas, figure, degrees, color, width)
            else:
                paint_figure(canvas, figure, limb_colors=limbs, joint_color=color, width=width)
    if legend:
        size = text_size(size_wh)
        signs = ("* ", "x ") if marks else ("", "")
        for row, (color, words) in enumerate(((palette.TRUTH, "truth"), (palette.PREDICTION, "prediction"))):
            at_px = size / 2, size * (1.4 + 1.8 * row)
            strokes.tag(canvas, at_px, signs[row] + words, size, color)
    return canvas


def side_by_side(
    image: Any,
    truth: Truth,
    predictions: Mapping[str, Poses],
    *,
    threshold: float | None = None,
    skeleton: Skeleton | None = None,
    marks: bool = True,
    height_px: int | None = None,
    gap: int = 8,
) -> np.ndarray:
    """`compare` for several predictions of one image, each under its title, in one row.

    Parameters
    ----------
    predictions : title -> prediction, e.g. ``{"supervised": ..., "adversarial": ...}``.
    height_px : of each panel without its title; None keeps the image's.
    gap : pixels between panels and around them.

    The others are those of `compare`. The first panel has the legend.

    Returns
    -------
    (h + t + 2 gap, n w + (n + 1) gap, 3) uint8 RGB for n panels of h x w pixels and titles of t pixels.

    Raises
    ------
    VitruvianError
        No prediction; `ShapeError` as in `compare`.
    """
    if not predictions:
        raise VitruvianError("side_by_side needs a prediction at least, got none; compare() takes a single one")
    panels = [
        compare(
            image,
            truth,
            poses,
            threshold=threshold,
            skeleton=skeleton,
            legend=i == 0,
            marks=marks,
            height_px=height_px,
        )
        for i, poses in enumerate(predictions.values())
    ]
    height, width = panels[0].shape[:2]
    size = int(np.clip(1.3 * text_size((width, height)), 12, 48))
    title_px = round(1.6 * size)
    picture = np.empty((height + title_px + 2 * gap, len(panels) * (width + gap) + gap, 3), np.uint8)
    picture[...] = _PAPER
    for i, (title, panel) in enumerate(zip(predictions, panels, strict=True)):
        x = gap + i * (width + gap)
        strokes.text(picture[: gap + title_px, x : x + width], (0, gap), title, size, _INK, max_width=width)
        picture[gap + title_px : gap + title_px + height, x : x + width] = panel
    return picture


def _scaled(canvas: np.ndarray, height_px: int | None) -> tuple[np.ndarray, Affine]:
    height, width = canvas.shape[:2]
    if height_px is None:
        return canvas, Affine.identity()
    if height_px < 1:
        raise ShapeError(f"height_px must be 1 or more pixels, got {height_px}")
    size_wh = max(1, round(width * height_px / height)), height_px
    resized = np.array(Image.fromarray(canvas).resize(size_wh, Image.Resampling.BICUBIC))
    return resized, Affine.resize((width, height), size_wh)


def _paint_marks(canvas: np.ndarray, figure: Figure, degrees: Sequence[float], color: Color, width: float) -> None:
    """A star or cross on every joint shown: strokes through it in the given directions, each with a dark rim."""
    reach, radius = 2.2 * width, max(0.6, 0.3 * width)
    for joint in np.flatnonzero(figure.shown):
        at = figure.keypoints_px[joint]
        steps = [reach * np.array([np.cos(np.deg2rad(d)), np.sin(np.deg2rad(d))]) for d in degrees]
        for rim, ink, alpha in ((rim_width(width), palette.DARK, 0.6), (0.0, color, 1.0)):
            for step in steps:
                strokes.stroke(canvas, at - step, at + step, radius + rim, ink, alpha)
        if figure.hollow is not None and figure.hollow[joint]:
            strokes.disc(canvas, at, 0.5 * reach, palette.DARK)


def _truth_figures(truth: Truth, skeleton: Skeleton) -> list[Figure]:
    if isinstance(truth, Record):
        return figures_of(truth, 0.0)
    if isinstance(truth, Person):
        return [figure_of_person(truth, skeleton)]
    if not isinstance(truth, np.ndarray) and all(isinstance(person, Person) for person in truth):
        return [figure_of_person(person, skeleton) for person in truth]
    given = np.asarray(truth, dtype=np.float64)
    keypoints = given[None] if given.ndim == 2 else given
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton), 2):
        raise ShapeError(
            f"ground truth for skeleton '{skeleton.name}' must be (N, {len(skeleton)}, 2) or ({len(skeleton)}, 2), "
            f"got {given.shape}"
        )
    shown = np.asarray(np.isfinite(keypoints).all(axis=2))
    return [Figure(k, s, skeleton, extent_px(k, s, None)) for k, s in zip(keypoints, shown, strict=True)]
