"""``vitruvian prepare``: data sets, downloaded or found on the disk, ready for a recipe. One sub-command a data set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import console, plural, progress_bar

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


@command.command("masks-and-joints", short_help="Photos, OpenPose's joints and masks to every target of system 0.")
@click.option("--images", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of photos.")
@click.option(
    "--poses",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of OpenPose's files, PHOTO_keypoints.json (`vitruvian predict --format openpose` writes them too).",
)
@click.option(
    "--masks",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of masks: PHOTO.png, or one a person, PHOTO_0.png and so on.",
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make, or to go on with."
)
@click.option("--one-person/--any-people", default=True, help="Photos of exactly one person, or the one best seen.")
@click.option("--min-joints", type=click.IntRange(0, 25), default=22, show_default=True, help="Of 25, in the photo.")
@click.option("--min-side", type=click.IntRange(1), default=572, show_default=True, help="Both sides have it, px.")
@click.option("--max-side", type=click.IntRange(1), default=1200, show_default=True, help="Both sides are below, px.")
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the joints that lie in the mask.",
)
@click.option("--shorter-side", type=click.IntRange(16), default=128, show_default=True, help="Of the pictures made.")
@click.option("--multiple", type=click.IntRange(1), default=16, show_default=True, help="Sides are padded to one.")
@click.option("--sigma", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Gaussians, px.")
@click.option("--threshold", type=float, default=0.01, show_default=True, help="Of HEATMAPSOFTMAX's discs.")
@click.option("--floor-joints/--exact-joints", default=False, help="Cut joints down to whole pixels, as the system.")
@click.option("--heatmap-jpeg", is_flag=True, help="HEATMAPS as JPEG, as the system had them.")
@click.option("--mask-threshold", type=click.IntRange(0, 254), default=200, show_default=True, help="Person above it.")
@click.option("--kind", "kinds", multiple=True, help="Write these target kinds alone; may be given several times.")
@click.option(
    "--val-share", type=click.FloatRange(0, 1, max_open=True), default=0.2, show_default=True, help="Into val.json."
)
@click.option("--split-seed", type=int, default=23, show_default=True, help="Of that split.")
def masks_and_joints(
    images: Path, poses: Path, masks: Path, out: Path, val_share: float, split_seed: int, kinds: tuple[str, ...], **rest
) -> None:
    """Make small pictures with masks, labels and heat maps of the joints, and annotations in COCO's format.

    The defaults are the filters and sizes of system 0. Run it again after an interruption: it goes on where it stopped.
    A file that cannot be read is named and costs its own photo only.
    """
    from ..data.prepare_masks import KINDS, Choices, prepare

    choices = Choices(kinds=kinds or KINDS, **rest)
    bar, advance = progress_bar("preparing photos", 2)
    with bar:
        summary = prepare(images, poses, masks, out, choices, val_share, split_seed, advance)
    click.echo(str(summary))
    if not summary.kept:
        raise click.ClickException("no image is left; see the reasons above, and `--help` for the filters")
    written = out / ("train.json" if val_share else "annotations.json")
    click.echo(f'\nFor a recipe:\n\ntrain:\n  - {{format: coco, path: "{written}"}}')
