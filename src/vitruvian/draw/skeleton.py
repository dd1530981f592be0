"""People drawn on a photo: limbs by side, joints by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.images import as_image
from ..errors import ShapeError, VitruvianError
from ..geometry import Affine
from ..skeletons import Skeleton
from ..types import Person, Poses, Record
from . import palette, strokes
from .masks import silhouette
from .palette import Color

STYLES = ("skeleton", "joints", "limbs", "silhouette")
_OUTSIDE = 0.25  # joints further outside of the image than this part of its longer side are left out
_SMALL = ("nose", "eye", "ear", "toe", "heel")  # joints that lie close together: thinner, or they become one blob


@dataclass(frozen=True, eq=False)
class Figure:
    """One person to draw.

    Attributes
    ----------
    keypoints_px : (K, 2) pixels of the canvas; NaN where there is no joint.
    shown : (K,) bool: joints worth drawing.
    skeleton : names and edges of the K joints.
    hollow : (K,) bool: joints drawn with a dark centre (labelled, but hidden), or None.
    size_px : the person's longer side, which line widths follow.
    """

    keypoints_px: np.ndarray
    shown: np.ndarray
    skeleton: Skeleton
    size_px: float
    hollow: np.ndarray | None = None

    def moved(self, frame_to_canvas: Affine) -> Figure:
        """The same person on a canvas that is a scaled copy of the frame."""
        keypoints = frame_to_canvas.apply(self.keypoints_px)
        size = self.size_px * abs(frame_to_canvas.determinant) ** 0.5
        return Figure(keypoints, self.shown, self.skeleton, size, self.hollow)


def figures_of(people: Poses | Record, threshold: float | None) -> list[Figure]:
    """The people of a prediction (`Poses.shown`) or of a record (labelled joints)."""
    if isinstance(people, Record):
        return [figure_of_person(person, people.skeleton) for person in people.persons]
    figures = []
    for keypoints, shown, box in zip(people.keypoints, people.shown(threshold), people.boxes, strict=True):
        # the whole image says nothing of a person's size
        box = None if people.boxes_from == "whole image" else box
        figures.append(Figure(keypoints.astype(np.float64), shown, people.skeleton, extent_px(keypoints, shown, box)))
    return figures


def figure_of_person(person: Person, skeleton: Skeleton) -> Figure:
    """An annotated person; joints labelled as hidden get a dark centre. `ShapeError` for another skeleton's joints."""
    if len(person.keypoints_px) != len(skeleton):
        raise ShapeError(
            f"the person has {len(person.keypoints_px)} joints, but skeleton '{skeleton.name}' has {len(skeleton)}; "
            "pass the skeleton of the annotation"
        )
    shown = np.asarray(np.isfinite(person.keypoints_px).all(axis=1))
    size = extent_px(person.keypoints_px, shown, person.box_xyxy)
    return Figure(person.keypoints_px, shown, skeleton, size, hollow=person.visibility == 1)


def extent_px(keypoints_px: np.ndarray, shown: np.ndarray, box_xyxy: np.ndarray | None) -> float:
    """The longer side of a person's joints (of (K, 2) those ``shown``), or most of the box's where that is longer."""
    size = 0.0
    if shown.any():
        points = keypoints_px[shown].astype(np.float64)
        size = float((points.max(axis=0) - points.min(axis=0)).max())
    if box_xyxy is not None and np.isfinite(box_xyxy).all():  # a face alone would get hairlines otherwise
        size = max(size, 0.6 * float((np.asarray(box_xyxy)[2:] - np.asarray(box_xyxy)[:2]).max()))
    return size


def line_width(figure: Figure, size_wh: tuple[int, int]) -> float:
    """Pixels: in proportion to the person, within what reads well on an image of that size, and never less than 1."""
    return float(np.clip(0.013 * figure.size_px, 1.0, max(1.6, max(size_wh) / 130)))


def rim_width(width: float) -> float:
    """Pixels of the dark rim on each side of a line: seen beside a thick line, and no more than half of a thin one."""
    return max(min(0.7, 0.45 * width), 0.2 * width)


def paint_figure(
    canvas: np.ndarray,
    figure: Figure,
    *,
    limb_colors: Sequence[Color],
    joint_color: Color,
    width: float,
    style: str = "skeleton",
) -> None:
    """Draw one person into ``canvas`` in place: ``limb_colors`` has one entry an edge, ``width`` is in pixels."""
    height_px, width_px = canvas.shape[:2]
    margin = _OUTSIDE * max(height_px, width_px)
    points = figure.keypoints_px
    with np.errstate(invalid="ignore"):
        near = (points >= -margin).all(axis=1) & (points <= (width_px - 1 + margin, height_px - 1 + margin)).all(axis=1)
    shown = figure.shown & near
    thin = np.array([0.6 if joint.split("_")[-1] in _SMALL else 1.0 for joint in figure.skeleton.joints])
    rim = rim_width(width)
    if style != "joints":
        for (a, b), color in zip(figure.skeleton.edges, limb_colors, strict=True):
            if shown[a] and shown[b]:
                radius = width / 2 * min(1.0, float(max(thin[a], thin[b])))
                # Rim and line together for each limb, so that of two crossing limbs one is seen to be in front.
                strokes.stroke(canvas, points[a], points[b], radius + rim, palette.DARK, 0.55)
                strokes.stroke(canvas, points[a], points[b], radius, color)
    if style != "limbs":
        for joint in np.flatnonzero(shown):
            radius = 0.95 * width * float(thin[joint])
            hollow = figure.hollow is not None and bool(figure.hollow[joint])
            strokes.disc(canvas, points[joint], radius + rim, palette.DARK, 0.7)
            strokes.disc(canvas, points[joint], radius, joint_color)
            if hollow:
                strokes.disc(canvas, points[joint], radius * 0.55, palette.DARK)


def draw(
    image: Any,
    poses: Poses,
    *,
    style: str = "skeleton",
    threshold: float | None = None,
    color_by: str = "side",
    boxes: bool = False,
    names: bool = False,
    ids: bool = True,
    masks: bool = True,
    width: float | None = None,
) -> np.ndarray:
    """Draw people on a copy of an image.

    Parameters
    ----------
    image : the image the poses belong to: whatever `vitruvian.data.as_image` takes.
    poses : the people.
    style : ``"skeleton"`` (limbs and joints), ``"joints"``, ``"limbs"``, or ``"silhouette"``: limbs over the people's
        masks, white on black and without the photo, as system 0 draws its results.
    threshold : joints with a lower score are not drawn, nor limbs that end in one; None: those that are not
        likely to be there, see `Poses.shown`.
    color_by : ``"side"`` (left orange, right blue, centre white; joints in the person's colour) or ``"person"``.
    boxes : draw the boxes and their scores.
    names : write the joints' names.
    ids : write identities, where ``poses.ids`` has them; a person keeps their colour over time.
    masks : tint the people, where ``poses.masks`` has masks.
    width : line width in pixels; None chooses it by each person's size.

    Returns
    -------
    (H, W, 3) uint8 RGB; the input is never changed.

    Raises
    ------
    ShapeError
        Poses or masks that belong to an image of another size; silhouettes of poses without masks.
    VitruvianError
        Another ``style`` or ``color_by``; `ImageError` for a file that cannot be read.
    """
    if style not in STYLES or color_by not in ("side", "person"):
        raise VitruvianError(
            f"got style '{style}', color_by '{color_by}'; expected one of {', '.join(STYLES)}, and side or person"
        )
    canvas = canvas_of(image, poses)
    size_wh = poses.size_wh
    figures = figures_of(poses, threshold)
    widths = [width or line_width(figure, size_wh) for figure in figures]
    colors = [palette.person_color(i if poses.ids is None else int(poses.ids[i])) for i in range(len(poses))]
    by_side = palette.edge_colors(poses.skeleton)
    if style == "silhouette":
        canvas, style = silhouette(poses), "limbs"
        by_side = [palette.DARK if color == palette.CENTRE else color for color in by_side]  # to be seen on white
    elif masks and poses.masks is not None:
        _tint_masks(canvas, poses.masks, colors, widths)
    order = np.argsort(poses.person_scores, kind="stable")  # the surest person lies on top
    for i in order:
        if boxes and poses.boxes_from != "whole image":
            strokes.rectangle(canvas, poses.boxes[i], max(0.5, widths[i] / 3), colors[i])
        paint_figure(
            canvas,
            figures[i],
            limb_colors=by_side if color_by == "side" else [colors[i]] * len(by_side),
            joint_color=_joint_color(len(poses), colors[i], color_by),
            width=widths[i],
            style=style,
        )
    taken: list[tuple[float, float, float, float]] = []
    for i in order:  # words last, so that no limb crosses them
        if names:
            _write_names(canvas, figures[i], widths[i], taken)
        _write_tag(canvas, poses, i, colors[i], boxes, ids)
    return canvas


def canvas_of(image: Any, poses: Poses) -> np.ndarray:
    """A copy of the image to draw on; `ShapeError` unless it has the size that the poses were found in."""
    array, _ = as_image(image)
    height, width = array.shape[:2]
    if (width, height) != tuple(poses.size_wh):
        raise ShapeError(
            f"these poses belong to an image of {poses.size_wh[0]} x {poses.size_wh[1]} pixels (width x height), "
            f"this one has {width} x {height}; was it resized or turned after prediction?"
        )
    return array.copy()


def _joint_color(people: int, color: Color, color_by: str) -> Color:
    return palette.WHITE if people == 1 or color_by == "person" else color


def _tint_masks(canvas: np.ndarray, masks: np.ndarray, colors: list[Color], widths: list[float]) -> None:
    if masks.shape != (len(colors), *canvas.shape[:2]):
        raise ShapeError(f"masks must have the shape {(len(colors), *canvas.shape[:2])}, got {masks.shape}")
    for mask, color, width in zip(masks, colors, widths, strict=True):
        strokes.tint(canvas, np.asarray(mask, dtype=bool), color, 0.35, outline=max(1, round(width / 3)))


def text_size(size_wh: tuple[int, int]) -> int:
    """Pixels: of words that read well on an image of that size."""
    return int(np.clip(max(size_wh) / 45, 10, 64))


def _write_names(canvas: np.ndarray, figure: Figure, width: float, taken: list) -> None:
    """Joint names, on the outer side of each joint, as far off each other as a few steps allow."""
    height_px, width_px = canvas.shape[:2]
    size = int(np.clip(2.4 * width, 9, text_size((width_px, height_px))))
    shown = np.flatnonzero(figure.shown)
    middle = float(np.median(figure.keypoints_px[shown, 0])) if len(shown) else 0.0
    for joint in shown:
        x, y = figure.keypoints_px[joint]
        if -0.5 <= x < width_px - 0.5 and -0.5 <= y < height_px - 0.5:
            side = -1 if x < middle else 1
            words = figure.skeleton.joints[joint].replace("_", " ")
            at_px = (x + side * 1.8 * width, y)
            strokes.tag(canvas, at_px, words, size, palette.DARK, 0.6, leftwards=side < 0, taken=taken)


def _write_tag(canvas: np.ndarray, poses: Poses, i: int, color: Color, boxes: bool, ids: bool) -> None:
    words = [f"#{int(poses.ids[i])}"] if ids and poses.ids is not None else []
    if boxes and poses.box_scores is not None and poses.boxes_from != "whole image":
        words.append(f"{float(poses.box_scores[i]):.2f}")
    box = poses.boxes[i]
    if words and np.isfinite(box).all():
        size = text_size(poses.size_wh)
        strokes.tag(canvas, (float(box[0]), float(box[1]) - 0.8 * size), "  ".join(words), size, color, 0.95)
