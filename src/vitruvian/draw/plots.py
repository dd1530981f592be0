"""`curves`: figures over the epochs of a training, as a plot; `reliability_plot`: what scores are worth.

Needs the extra ``evaluate`` (matplotlib).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..extras import need
from ..formats.writing import atomic_path

# Okabe & Ito's colours ("Color Universal Design", 2008) that are dark enough for lines on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", ":", "-.")  # with many curves colours come again, with other dashes


def curves(
    path: str | os.PathLike,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str = "",
    x_label: str = "epoch",
    y_label: str = "",
    best: str | None = "max",
) -> Path:
    """Plot curves over common x values and write the picture (PNG, SVG or PDF by its suffix), atomically.

    Parameters
    ----------
    path : the file; folders on the way are made.
    x : n numbers, e.g. epochs.
    series : name -> n values; None (or NaN) leaves a gap. The first is drawn thicker than the others.
    title, x_label, y_label : words.
    best : ``"max"`` or ``"min"`` marks the best value of the first curve and says where it is; None marks nothing.

    Raises
    ------
    ShapeError
        Nothing to plot, or a curve with another number of values than ``x``.
    MissingExtraError
        matplotlib is not installed.
    """
    if not series or not len(x):
        raise ShapeError(f"nothing to plot: got {len(series)} curves over {len(x)} values of {x_label or 'x'}")
    for name, values in series.items():
        if len(values) != len(x):
            raise ShapeError(f"curve '{name}' has {len(values)} values for {len(x)} of {x_label or 'x'}")
    # The figure's own class, not pyplot, which keeps every figure and may look for a display.
    figure = need("matplotlib.figure", "evaluate", "plots").Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    across = np.asarray(x, dtype=float)
    for i, (name, values) in enumerate(series.items()):
        y = _numbers(values)
        # a lone value between gaps would be a line of no length
        axes.plot(
            across,
            y,
            color=_COLORS[i % len(_COLORS)],
            linestyle=_DASHES[i // len(_COLORS) % len(_DASHES)],
            linewidth=2.4 if i == 0 else 1.3,
            marker="o",
            markersize=4 if i == 0 else 2.5,
            zorder=3 if i == 0 else 2,
            label=name,
        )
    first = _numbers(next(iter(series.values())))
    if best is not None and np.isfinite(first).any():
        at = int(np.nanargmax(first) if best == "max" else np.nanargmin(first))
        axes.plot(across[at], first[at], "o", color=_COLORS[0], markersize=9, markerfacecolor="none", zorder=4)
        title = f"{title}\n" if title else ""
        title += f"best: {first[at]:.4g} at {x_label or 'x'} {across[at]:g}"
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(series), 6), frameon=False, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def reliability_plot(
    path: str | os.PathLike,
    models: Mapping[str, tuple[Any, Any, Any]],
    *,
    right: str = "right",
    title: str = "",
) -> Path:
    """Plot scores against the share of joints that are right, and write the picture (by its suffix), atomically.

    Parameters
    ----------
    models : name -> mean score, share that is right, and number of joints of each group, three arrays as
        `metrics.calibration.reliability` gives them. On the diagonal scores are chances.
    right : when a joint is right, in words.

    Raises
    ------
    ShapeError
        Nothing to plot, or columns of different lengths.
    MissingExtraError
        matplotlib is not installed.
    """
    if not models or any(len({len(column) for column in columns}) != 1 for columns in models.values()):
        raise ShapeError("a reliability diagram needs three columns of equal length for each model")
    figure = need("matplotlib.figure", "evaluate", "plots").Figure(figsize=(5, 5.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, zorder=1)
    for i, (name, (score, share, count)) in enumerate(models.items()):
        total = max(sum(count), 1)
        error = sum(abs(s - r) * n for s, r, n in zip(score, share, count, strict=True)) / total
        color, line = _COLORS[i % len(_COLORS)], _DASHES[i % len(_DASHES)]
        axes.plot(score, share, color=color, linestyle=line, marker="o", markersize=4, zorder=2 + i,
                  label=f"{name}: error {error:.3f}")  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel=f"share of joints: {right}", aspect="equal")
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
