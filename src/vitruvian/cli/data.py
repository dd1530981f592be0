"""``vitruvian data``: what a reader found in annotations, before anything is trained or measured on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import console, images_option, plural

if TYPE_CHECKING:
    import numpy as np

    from ..types import Record


@click.command(short_help="Say what is in annotations.")
@click.argument("format_name", metavar="FORMAT")
@click.argument("path", type=click.Path(path_type=Path))
@images_option
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet (.png, .jpg, .webp)."
)
@click.option("--count", type=click.IntRange(1), default=24, show_default=True, help="Images on the contact sheet.")
def command(format_name: str, path: Path, images: Path | None, sheet: Path | None, count: int) -> None:
    """Read annotations of FORMAT from PATH and say what is in them, and what was left out and why.

    FORMAT is one of coco, lsp, mpii, openpose, yolo.
    """
    from ..formats import read

    result = read(format_name, path, images=images)
    click.echo(str(result.report))
    if not result.records:
        return
    _print_people(result.records)
    for skeleton in {r.skeleton.joints: r.skeleton for r in result.records}.values():
        _print_joints([r for r in result.records if r.skeleton.joints == skeleton.joints])
    if sheet is not None:
        _write_sheet(result.records, sheet, count)


def _print_people(records: list[Record]) -> None:
    import numpy as np

    from ..geometry import boxes

    persons = [p for r in records for p in r.persons]
    per_image = np.array([len(r.persons) for r in records])
    click.echo(f"people an image: {_spread(per_image)}; {plural(int((per_image == 0).sum()), 'image')} without any")
    if persons:
        labelled = np.array([int(p.labelled.sum()) for p in persons])
        click.echo(f"labelled joints a person: {_spread(labelled)}")
        joints = np.array([int(sum(p.labelled.sum() for p in r.persons)) for r in records])
        click.echo(f"labelled joints an image: {_spread(joints)}")
    sizes = np.array([boxes.xyxy_to_xywh(p.box_xyxy)[2:] for p in persons if p.box_xyxy is not None])
    if len(sizes):
        click.echo(f"box width (px): {_spread(sizes[:, 0])}; height (px): {_spread(sizes[:, 1])}")
    for name, number in (
        ("without a box", sum(p.box_xyxy is None for p in persons)),
        ("with a mask", sum(p.segmentation is not None for p in persons)),
        ("crowd regions", sum(p.is_crowd for p in persons)),
    ):
        if number:
            click.echo(f"{name}: {number:,} of {plural(len(persons), 'person')}")


def _spread(values: np.ndarray) -> str:
    """Smallest, median and largest, with the mean."""
    low, middle, high = (float(v) for v in (values.min(), sorted(values)[len(values) // 2], values.max()))
    return f"{low:g} ... {middle:g} ... {high:g} (mean {values.mean():.1f})"


def _print_joints(records: list[Record]) -> None:
    """How often each joint is labelled and visible, among people who are no crowd."""
    import numpy as np
    from rich.table import Table

    skeleton = records[0].skeleton
    codes = np.array([p.visibility for r in records for p in r.persons if not p.is_crowd]).reshape(-1, len(skeleton))
    if not len(codes):
        return
    table = Table(f"joint of {skeleton.name}", "labelled", "share", "of these visible")
    for column in table.columns[1:]:
        column.justify = "right"
    for k, joint in enumerate(skeleton.names):
        labelled = int((codes[:, k] > 0).sum())
        visible = f"{(codes[:, k] == 2).sum() / labelled:.0%}" if labelled else "-"
        table.add_row(joint, f"{labelled:,}", f"{labelled / len(codes):.0%}", visible)
    console().print(table)


def _write_sheet(records: list[Record], sheet: Path, count: int) -> None:
    import numpy as np

    from ..data.images import write_image
    from ..draw import contact_sheet

    inhabited = [r for r in records if r.persons and r.image_path is not None]
    if not inhabited:
        click.echo("no contact sheet: no image with people", err=True)
        return
    chosen = np.unique(np.linspace(0, len(inhabited) - 1, min(count, len(inhabited))).round().astype(int))
    sheet.parent.mkdir(parents=True, exist_ok=True)
    click.echo(f"wrote {write_image(sheet, contact_sheet([inhabited[i] for i in chosen]))}")
