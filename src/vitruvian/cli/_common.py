"""What several verbs share: options, tables, progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])

_WIDTH = 120  # columns of tables that are not shown on a terminal


def runtime_options(batch: int) -> Callable[[F], F]:
    """``--backend``, ``--threads``, ``--batch``, ``--flip`` and ``--flip-by``, for verbs that run a model."""

    def add(function: F) -> F:
        for option in reversed(
            (
                click.option("--backend", help="onnxruntime (default), openvino or torch."),
                click.option("--threads", type=click.IntRange(1), help="CPU threads; by default the runtime's choice."),
                click.option(
                    "--batch", type=click.IntRange(1), default=batch, show_default=True, help="People per network call."
                ),
                click.option(
                    "--flip/--no-flip", default=False, help="Average with the mirrored picture: better, twice the time."
                ),
                click.option(
                    "--flip-by",
                    type=click.Choice(["maps", "coordinates", "maps_shifted"]),
                    default="maps",
                    show_default=True,
                    help="What --flip averages.",
                ),
            )
        ):
            function = option(function)
        return function

    return add


def select_option(function: F) -> F:
    """``--select / --no-select``, for verbs that take boxes with scores."""
    return click.option(
        "--select/--no-select",
        default=True,
        show_default=True,
        help="With --boxes: score people by their joints above 0.2, and drop who is found twice (OKS over 0.9).",
    )(function)


def flip_of(flip: bool, flip_by: str) -> bool | str:
    """What `Predictor.predict` takes, from ``--flip`` and ``--flip-by``."""
    if flip_by != "maps" and not flip:
        raise click.UsageError("--flip-by says how --flip averages; give --flip too")
    return flip_by if flip and flip_by != "maps" else flip


def make_folder(out: Path) -> None:
    """Make the folder of ``--out``, or say that it cannot be one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"'{out}' cannot be made a folder: {error.strerror}", param_hint="--out") from error


def console(stderr: bool = False) -> Console:
    """A rich console for tables; made when needed, so that it writes to what standard output is at that moment."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _WIDTH
    return made


def progress_bar(what: str, total: int) -> tuple[Progress, Callable[[int, int], None]]:
    """A progress bar on standard error (use it as a context manager) and a function that takes the number done and
    the number in all.

    It is shown for more than one thing, on a terminal.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    err = console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=total < 2 or not err.is_terminal,
    )
    task = bar.add_task(what, total=total)
    return bar, lambda done, total: bar.update(task, completed=done, total=total)


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``2 people``."""
    many = {"person": "people", "box": "boxes"}.get(noun, noun + "s")
    return f"{count:,} {noun if count == 1 else many}"
