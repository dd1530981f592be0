"""``vitruvian prepare``: data sets, downloaded or found on the disk, ready for a recipe. One sub-command a data set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import console, plural

if TYPE_CHECKING:
    from ..data.prepare_coco import CocoSplit, Counts, Step


@click.group(short_help="Download or adopt data sets.")
def command() -> None:
    """Download a data set, or find one's way about a copy of it, and say what to write into a recipe."""


@command.command("coco", short_help="COCO 2017 with keypoints.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Download into this folder.")
@click.option(
    "--adopt",
    type=click.Path(file_okay=False, path_type=Path),
    help="Use COCO that is in this folder already; nothing is downloaded, copied or changed.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["train", "val"]),
    default=("train", "val"),
    show_default=True,
    help="May be given several times.",
)
@click.option("--images/--no-images", default=True, help="The photos too, or the annotations alone.")
@click.option("--keep-zips", is_flag=True, help="Keep the archives after unpacking them.")
@click.option("--dry-run", is_flag=True, help="Say what would be downloaded, how large it is, and what is free.")
def coco(
    out: Path | None, adopt: Path | None, splits: tuple[str, ...], images: bool, keep_zips: bool, dry_run: bool
) -> None:
    """Download COCO 2017 (train2017, val2017 and their annotations; 20 GB, 45 GB free while unpacking) or adopt it.

    Run it again after an interruption: it goes on where it stopped. What is there already is not fetched again.
    Downloads are checked against known SHA-256 sums, unpacked files against the archive's CRCs.
    """
    from ..data import prepare_coco

    if (out is None) == (adopt is None):
        raise click.UsageError("say --out DIR to download, or --adopt DIR to use a copy that is there already")
    if adopt is not None and (keep_zips or dry_run):
        raise click.UsageError("--keep-zips and --dry-run belong to --out; --adopt neither downloads nor writes")
    splits = tuple(dict.fromkeys(splits))
    if adopt is not None:
        found = prepare_coco.find(adopt, splits, images)
    else:
        assert out is not None  # by the check above
        if dry_run:
            _print_plan(out, prepare_coco.plan(out, splits, images))
            return
        bar, advance = _byte_bars()
        with bar:
            found = prepare_coco.prepare(out, splits, images, keep_zips, advance)
    for split in found:
        _print_split(split)
    _print_next(found)


def _print_plan(folder: Path, steps: list[Step]) -> None:
    from rich.table import Table

    from ..data.download import as_bytes, free_space
    from ..data.prepare_coco import bytes_needed

    table = Table("archive", "to download", "to unpack, at most")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for step in steps:
        cells = ("there already", "") if step.done else (as_bytes(step.to_download), as_bytes(step.to_unpack))
        table.add_row(step.archive.url, *cells)
    console().print(table)
    problem = next((step.problem for step in steps if step.problem is not None), None)
    if problem is not None:
        click.echo(f"The server could not be asked, so sizes are the known ones. {problem}")
    needed, free = bytes_needed(steps), free_space(folder)
    verdict = "enough" if free >= needed else f"{as_bytes(needed - free)} too little"
    click.echo(f"Needed in {folder}: {as_bytes(needed)}; free: {as_bytes(free)}, {verdict}. Nothing was written.")


def _byte_bars() -> tuple[AbstractContextManager, Callable[[str, int, int], None]]:
    """Progress by the byte, a bar for each thing done; where there is no terminal, a line for each."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    tasks: dict = {}
    err = console(stderr=True)
    if not err.is_terminal:

        def line(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = True
                click.echo(what, err=True)

        return nullcontext(), line
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=err)

    def advance(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total or None)
        bar.update(tasks[what], completed=done, total=total or None)

    return bar, advance


def _print_split(split: CocoSplit) -> None:
    from ..data.prepare_coco import count

    click.echo(f"{split.split}: {split.annotations}" + ("" if split.images is None else f", images in {split.images}"))
    counts = count(split)
    click.echo(f"  {_images(counts)}; {plural(counts.images_with_people, 'image')} with people")
    click.echo(f"  {plural(counts.persons, 'person')}; filter for training: {counts.selection}")


def _images(counts: Counts) -> str:
    if counts.images_there is None:
        return f"{plural(counts.images_listed, 'image')} listed"
    said = f"{counts.images_there:,} of {plural(counts.images_listed, 'image')}"
    missing = counts.images_listed - counts.images_there
    return f"{said} there" + (f" ({missing:,} missing, their people are left out)" if missing else "")


def _print_next(found: list[CocoSplit]) -> None:
    from ..data.prepare_coco import recipe_block

    by_split = {split.split: split for split in found}
    if any(split.images is None for split in found):
        click.echo("Annotations alone: nothing can be trained or measured without the images.")
        return
    if "train" in by_split:
        click.echo("\nFor a recipe:\n")
        click.echo(recipe_block(by_split["train"]))
    if "val" in by_split:
        val = by_split["val"]
        click.echo(
            f'To measure: vitruvian evaluate MODEL coco "{val.annotations}" --images "{val.images}" --metric oks_ap'
        )
