"""`Figure3D`: joints moving in space, ready to be drawn, and `animate3d`: a film of them as GIF or MP4.

Drawn in parallel projection, with the strokes of the 2D pictures; nearer limbs cover farther ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import ShapeError
from ..extras import need
from ..formats.motion import Motion
from ..formats.writing import atomic_path
from ..types3d import Poses3D
from .palette import CENTRE, LEFT, RIGHT, Color
from .strokes import stroke, text

BACKGROUND: Color = (26, 28, 34)
_FLOOR: Color = (52, 56, 66)
_TITLE_ROWS = 26
_ENCODERS = ("libvpx-vp9", "mpeg4")
"""Permissively licensed encoder first, then FFmpeg's own (LGPL); x264 and x265 (GPL) are never used."""


@dataclass(frozen=True, eq=False)
class Figure3D:
    """One body over time.

    Attributes
    ----------
    title : what is written above it.
    points : (F, K, 3) float64 in mm: x to the right, y away from the viewer, z up; NaN for what is not there.
    edges : pairs of joints that are joined by a line.
    colors : one colour an edge.
    """

    title: str
    points: np.ndarray
    edges: tuple[tuple[int, int], ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float64)
        if points.ndim != 3 or points.shape[2] != 3 or len(points) == 0:
            raise ShapeError(f"figure '{self.title}' needs points (F, K, 3) of 1 or more frames, got {points.shape}")
        out = [e for e in self.edges if not all(0 <= k < points.shape[1] for k in e)]
        if out or len(self.colors) != len(self.edges):
            raise ShapeError(
                f"figure '{self.title}' needs edges between {points.shape[1]} joints and as many colours, got "
                f"{len(self.edges)} edges, {len(self.colors)} colours{f', edge {out[0]}' if out else ''}"
            )
        object.__setattr__(self, "points", points)

    @classmethod
    def of_motion(cls, motion: Motion, title: str | None = None, *, in_place: bool = False) -> Figure3D:
        """A take whose y axis points up. ``in_place`` keeps the first joint above one place of the floor."""
        x, y, z = np.moveaxis(motion.positions_mm, -1, 0)
        points = np.stack([x, -z, y], axis=-1)
        if in_place:
            points[..., :2] -= points[:, :1, :2]
        edges = tuple((parent, child) for child, parent in enumerate(motion.parents) if parent >= 0)
        return cls(motion.name if title is None else title, points, edges, side_colors(motion.joints, edges))

    @classmethod
    def of_poses(cls, poses: Poses3D, title: str = "") -> Figure3D:
        """A person's 3D poses, each a frame; x right, y down, z away as in a camera."""
        return cls.of_camera_joints(poses.joints_mm, poses, title)

    @classmethod
    def of_camera_joints(cls, joints_mm: np.ndarray, like: Poses3D, title: str = "") -> Figure3D:
        """Joints (F, K, 3) in the axes of a camera, with the skeleton of other poses (a truth beside a prediction)."""
        x, y, z = np.moveaxis(np.asarray(joints_mm, np.float64), -1, 0)
        edges = like.skeleton.edges
        return cls(title, np.stack([x, z, -y], axis=-1), edges, side_colors(like.skeleton.joints, edges))


_SIDES = (("left", "right"), ("l", "r"))


def side_colors(joints: Sequence[str], edges: Sequence[tuple[int, int]]) -> tuple[Color, ...]:
    """A colour for each edge by the side of its joints, told from the names: there has to be a partner that differs in
    ``left`` / ``right`` or ``l`` / ``r``, at its beginning (``lHip``) or as a word of its own (``CC_Base_L_Thigh``).
    """
    lower = {joint.lower() for joint in joints}

    def is_on(name: str, this: int) -> bool:
        partners = [pair[1 - this] + name[len(pair[this]) :] for pair in _SIDES if name.startswith(pair[this])]
        words = re.split(r"([._\s:-])", name)
        for i, word in enumerate(words):
            partners += ["".join([*words[:i], p[1 - this], *words[i + 1 :]]) for p in _SIDES if word == p[this]]
        return not lower.isdisjoint(partners)

    sides = [(is_on(joint.lower(), 0), is_on(joint.lower(), 1)) for joint in joints]
    out = []
    for a, b in edges:
        left, right = sides[a][0] or sides[b][0], sides[a][1] or sides[b][1]
        out.append(CENTRE if left == right else LEFT if left else RIGHT)
    return tuple(out)


def bounds(figures: Sequence[Figure3D]) -> tuple[np.ndarray, float]:
    """(3,) middle of all joints of all figures, and the radius in mm around it that holds them; 1 for no joint."""
    if not figures:
        raise ShapeError("there is no figure to draw")
    points = np.concatenate([figure.points.reshape(-1, 3) for figure in figures])
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return np.zeros(3), 1.0
    middle = (points.min(0) + points.max(0)) / 2
    return middle, max(float(np.linalg.norm(points - middle, axis=1).max()), 1.0)


def turned(points: np.ndarray, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Points seen from another side: x right, y up in the picture, z towards the viewer.

    At 0, 0 the viewer looks along y. ``azimuth_deg`` walks the viewer around, counter-clockwise from above;
    ``elevation_deg`` lifts him.
    """
    a, e = np.deg2rad([azimuth_deg, elevation_deg])
    x = points[..., 0] * np.cos(a) + points[..., 1] * np.sin(a)
    away = points[..., 1] * np.cos(a) - points[..., 0] * np.sin(a)
    up = points[..., 2]
    return np.stack([x, up * np.cos(e) + away * np.sin(e), up * np.sin(e) - away * np.cos(e)], axis=-1)


def frame3d(
    figures: Sequence[Figure3D],
    frame: int = 0,
    *,
    azimuth_deg: float = 20.0,
    elevation_deg: float = 12.0,
    size_px: int = 320,
) -> np.ndarray:
    """(size + title, n * size, 3) uint8: figures side by side at one frame, all at the same scale.

    A figure with fewer frames stays at its last one. Raises `ShapeError` for no figures.
    """
    middle, radius = bounds(figures)
    return np.concatenate(
        [
            _panel(f, min(frame, len(f.points) - 1), middle, radius, azimuth_deg, elevation_deg, size_px)
            for f in figures
        ],
        axis=1,
    )


def _panel(
    figure: Figure3D, frame: int, middle: np.ndarray, radius: float, azimuth: float, elevation: float, size: int
) -> np.ndarray:
    canvas = np.empty((size + _TITLE_ROWS, size, 3), np.uint8)
    canvas[:] = BACKGROUND
    scale = 0.47 * size / radius
    centre = np.array([size / 2 - 0.5, _TITLE_ROWS + size / 2 - 0.5])
    to_px = lambda seen: centre + seen[..., :2] * scale * np.array([1.0, -1.0])  # noqa: E731
    low = np.nanmin(figure.points[..., 2], initial=middle[2] + radius) - middle[2]
    for start, end in _floor(radius, low):
        ends = to_px(turned(np.stack([start, end]), azimuth, elevation))
        stroke(canvas, ends[0], ends[1], 0.5, _FLOOR)
    seen = turned(figure.points[frame] - middle, azimuth, elevation)
    points = to_px(seen)
    order = sorted(range(len(figure.edges)), key=lambda i: float(np.nan_to_num(seen[list(figure.edges[i]), 2].mean())))
    for i in order:
        a, b = figure.edges[i]
        if np.isfinite(points[[a, b]]).all():
            stroke(canvas, points[a], points[b], size / 120 + 1.2, BACKGROUND)  # an outline parts crossing limbs
            stroke(canvas, points[a], points[b], size / 120, figure.colors[i])
    text(canvas, (8, 5), figure.title, size=14, color=CENTRE)
    canvas[:, -1] = _FLOOR
    return canvas


def _floor(radius: float, low: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lines of a square floor under the figures."""
    lines, half = [], radius * 0.7
    for at in np.linspace(-half, half, 5):
        lines.append((np.array([at, -half, low]), np.array([at, half, low])))
        lines.append((np.array([-half, at, low]), np.array([half, at, low])))
    return lines


def animate3d(
    path: str | os.PathLike,
    figures: Sequence[Figure3D],
    fps: float = 15.0,
    *,
    turn_deg: float = 0.0,
    azimuth_deg: float = 20.0,
    elevation_deg: float = 12.0,
    size_px: int = 320,
) -> Path:
    """Write a film of figures side by side: ``.gif`` through Pillow, or ``.mp4`` through PyAV (extra ``video``).

    Parameters
    ----------
    path : the file, written atomically.
    figures : drawn at the same scale; the longest says how many frames there are.
    fps : frames per second; a GIF's are rounded to whole hundredths of a second each.
    turn_deg : how far the viewer walks around during the film.
    azimuth_deg, elevation_deg, size_px : as in `frame3d`.

    Raises
    ------
    ShapeError
        No figures, a rate that is not positive, or another kind of file.
    MissingExtraError
        MP4 without PyAV.
    """
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ShapeError(f"films are written as .gif or .mp4, got '{path.name}'")
    if not (np.isfinite(fps) and fps > 0) or not figures:
        raise ShapeError(f"a film needs figures and a positive rate, got {len(figures)} figures at {fps} fps")
    if path.suffix.lower() == ".mp4":
        need("av", "video", "writing MP4")
    count = max(len(figure.points) for figure in figures)
    frames = (
        frame3d(
            figures,
            i,
            azimuth_deg=azimuth_deg + turn_deg * i / max(count - 1, 1),
            elevation_deg=elevation_deg,
            size_px=size_px,
        )
        for i in range(count)
    )
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".gif":
            # One palette of few colours: the pictures are flat, and the file stays small.
            pictures = [Image.fromarray(frame).quantize(32, dither=Image.Dither.NONE) for frame in frames]
            shown_ms = max(20, round(100 / fps) * 10)
            pictures[0].save(
                temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=shown_ms, loop=0
            )
        else:
            _write_mp4(temporary, list(frames), fps)
    return path


def _write_mp4(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    from fractions import Fraction

    av = need("av", "video", "writing MP4")
    encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise ShapeError(f"PyAV's FFmpeg has none of the encoders {', '.join(_ENCODERS)}; write a .gif instead")
    height, width = (side - side % 2 for side in frames[0].shape[:2])  # chroma has half the size
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream(encoder, rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            for packet in stream.encode(picture):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
