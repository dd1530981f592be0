"""What several verbs share: options, tables, progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])

_WIDTH = 120  # columns of tables that are not shown on a terminal


class FolderPath(click.Path):
    """A folder's path that is not empty: an unset shell variable leaves "", which would mean the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.fspath(value) == "":
            self.fail("the path is empty; for the current folder say '.'", param, ctx)
        return super().convert(value, param, ctx)


def people_options(function: F) -> F:
    """``--out``, ``--boxes`` and ``--model``, for verbs that find people in photos."""
    for option in reversed(
        (
            click.option(
                "--out", type=FolderPath(), default=Path("out"), show_default=True, help="Folder to write to."
            ),
            click.option(
                "--boxes",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="COCO detections (JSON) with the people's boxes, instead of a detector's.",
            ),
            click.option(
                "--model",
                default="default",
                show_default=True,
                help="A shipped model's name, a weight file, a run folder.",
            ),
        )
    ):
        function = option(function)
    return function


def images_option(function: F) -> F:
    """``--images``, for verbs that read annotations."""
    return click.option(
        "--images", type=click.Path(path_type=Path), help="Folder of the images, where the reader cannot guess it."
    )(function)


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


def select_option(what: str) -> Callable[[F], F]:
    """``--select / --no-select``, for verbs that score people; ``what`` says what it does besides scoring."""
    return click.option(
        "--select/--no-select",
        default=True,
        show_default=True,
        help=f"Score people by their joints above 0.2; in a detector's boxes drop {what}.",
    )


def flip_of(flip: bool, flip_by: str) -> bool | str:
    """What `Predictor.predict` takes, from ``--flip`` and ``--flip-by``."""
    if flip_by != "maps" and not flip:
        raise click.UsageError("--flip-by says how --flip averages; give --flip too")
    return flip_by if flip and flip_by != "maps" else flip


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """The folder of ``--out``, made if needed; where the block fails, folders made here that are still empty go again.

    Made at once, so that a path that cannot be a folder is said before the work and not after it.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]  # innermost first
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"'{out}' cannot be made a folder: {error.strerror}", param_hint="--out") from error
    try:
        yield
    except BaseException:
        for folder in made:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()
        raise


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
