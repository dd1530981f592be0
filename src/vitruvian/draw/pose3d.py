"""`plot3d`: 3D poses as a still picture from several sides. Needs the extra ``evaluate`` (matplotlib)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ShapeError
from ..extras import need
from ..formats.writing import atomic_path
from .figure3d import Figure3D, bounds
from .palette import Color

VIEWS: tuple[tuple[str, float, float], ...] = (("front", 12.0, -90.0), ("side", 12.0, -10.0), ("above", 75.0, -90.0))
"""Name, elevation and azimuth in degrees of the usual views, as matplotlib has them."""


def plot3d(
    path: str | os.PathLike,
    figures: Sequence[Figure3D],
    frame: int = 0,
    *,
    views: Sequence[tuple[str, float, float]] = VIEWS,
    title: str = "",
) -> Path:
    """Draw figures at one frame, a row each, a column a view, all at one scale with axes in mm; writes PNG, SVG or PDF.

    Parameters
    ----------
    path : the file, written atomically.
    figures : e.g. truth and prediction.
    frame : which frame; figures with fewer stay at their last one.
    views : (name, elevation, azimuth) in degrees.
    title : written above all.

    Raises
    ------
    ShapeError
        No figures or no views.
    MissingExtraError
        matplotlib is not installed.
    """
    if not figures or not views:
        raise ShapeError(f"nothing to plot: got {len(figures)} figures from {len(views)} sides")
    picture = need("matplotlib.figure", "evaluate", "3D plots").Figure(
        figsize=(3.4 * len(views), 3.5 * len(figures) + 0.4), dpi=120, layout="constrained"
    )
    need("mpl_toolkits.mplot3d", "evaluate", "3D plots")  # registers the projection
    panels = picture.subplots(len(figures), len(views), squeeze=False, subplot_kw={"projection": "3d"})
    middle, radius = bounds([_at(figure, frame) for figure in figures])
    for row, figure in zip(panels, figures, strict=True):
        points = _at(figure, frame).points[0]
        for axes, (name, elevation, azimuth) in zip(row, views, strict=True):
            for (a, b), color in zip(figure.edges, figure.colors, strict=True):
                axes.plot(*points[[a, b]].T, color=_on_white(color), linewidth=2.2, solid_capstyle="round")
            axes.scatter(*points.T, s=6, color="#1a1c22", depthshade=False)
            axes.set_title(f"{figure.title}, {name}" if figure.title else name, fontsize=9)
            axes.set(**{f"{n}lim": (m - radius, m + radius) for n, m in zip("xyz", middle, strict=True)})
            axes.set_box_aspect((1, 1, 1))
            axes.set_proj_type("ortho")
            axes.locator_params(nbins=4)
            axes.view_init(elevation, azimuth)
            axes.tick_params(labelsize=6, pad=-2)
    picture.suptitle(title, x=0.02, ha="left", fontsize=10)
    with atomic_path(path) as temporary:
        picture.savefig(temporary)
    return Path(path)


def _at(figure: Figure3D, frame: int) -> Figure3D:
    at = min(frame, len(figure.points) - 1)
    return Figure3D(figure.title, figure.points[at : at + 1], figure.edges, figure.colors)


def _on_white(color: Color) -> str:
    """The colour, darkened so far that it shows on white."""
    rgb = np.array(color) / 255
    luma = float(rgb @ [0.2126, 0.7152, 0.0722])
    return "#" + "".join(f"{round(255 * v):02x}" for v in rgb * min(1.0, 0.5 / max(luma, 1e-6)))
