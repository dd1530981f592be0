"""``vitruvian predict``: photos in, joints drawn and written out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import (
    console,
    flip_of,
    output_folder,
    people_options,
    plural,
    progress_bar,
    runtime_options,
    select_option,
)
from ._detector import DetectorChoice, detector_options
from ._lift import Lifting, lift_options
from ._masks import MaskOutput, mask_options
from ._pictures import DRAWING, check_masks, picture_names, remove_masks, remove_pictures, save_picture

if TYPE_CHECKING:
    from ..predict import Result
    from ..types import Poses

FORMATS = ("coco", "openpose", "csv", "parquet")
"""The names in `formats.RESULT_WRITERS`, written out so that ``--help`` need not import them (a test compares)."""

STYLES = ("skeleton", "joints", "limbs", "silhouette")
"""The names in `draw.skeleton.STYLES`, likewise."""

_LISTED = 12  # written files that are named one by one
_COLUMNS = 4  # people whose joints fit side by side into the table of a single image


@click.command(short_help="Find people's joints in photos.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@people_options
@detector_options
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=("coco",),
    show_default=True,
    help="Result file; may be given several times.",
)
@click.option("--no-draw", is_flag=True, help="Write no pictures.")
@click.option(
    "--min-score",
    "threshold",
    type=click.FloatRange(0, 1),
    help="Joints with a lower score are not drawn; the result files have them all. Default: drawn is what is likely to "
    "be in the picture, by the limit on the model's card, 0.2 if it has none.",
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default=STYLES[0],
    show_default=True,
    help="How people are drawn. silhouette: limbs over white masks on black; implies --masks.",
)
@click.option("--recursive", "-r", is_flag=True, help="Look into folders of folders.")
@select_option("who is found twice (OKS over 0.9) and, of --detector, what has no person's joints")
@lift_options
@mask_options
@runtime_options(batch=8)
def command(
    paths: tuple[str, ...],
    out: Path,
    formats: tuple[str, ...],
    no_draw: bool,
    boxes: Path | None,
    detector: str,
    detect_above: float | None,
    detect_once: bool,
    detector_layout: str | None,
    detector_input: str | None,
    detector_person: int | None,
    model: str,
    threshold: float | None,
    style: str,
    recursive: bool,
    select: bool,
    lift: bool,
    model3d: str | None,
    focal_px: float | None,
    principal_px: tuple[float, float] | None,
    height_mm: float | None,
    masks: bool,
    mask_model: str | None,
    background: str | None,
    backend: str | None,
    threads: int | None,
    batch: int,
    flip: bool,
    flip_by: str,
) -> None:
    """Find people's joints in PATH..., which may be images, folders and globs.

    Draws each image and writes the result files into --out, in place of an earlier run's. An image that cannot be read
    is named on standard error, the others still get their results, and the exit status is then 1. No picture remains of
    what an earlier run found in it; where no image can be read, the result files are empty. Photos are never replaced,
    nor are other PNG files that this program did not write: a drawing then has another name.
    """
    from ..data.find import find_images
    from ..formats.writing import unique_names
    from ..predict import Selection, load

    _check_formats(formats)
    lifting = Lifting.wanted(lift, model3d, focal_px, principal_px, height_mm)
    photos = find_images(list(paths), recursive=recursive)
    choice = DetectorChoice(detector, detect_above, detector_layout, detector_person, detect_once, detector_input)
    finder = choice.load(threads, boxes)
    people = choice.boxes(finder, boxes, photos)
    names = unique_names(photos)
    pictures = picture_names(photos, names, out)
    moved = next(((p, n) for p, n in zip(pictures, names, strict=True) if p != n), None)
    if moved is not None and not no_draw:
        click.echo(f"Pictures: {moved[1]}'s is {moved[0]}.png, since other files have its usual names.")
    masking = MaskOutput(masks or style == "silhouette", mask_model, background)
    if masking.wanted:
        check_masks(names, out)
    started = time.perf_counter()
    done = _Done()
    bar, advance = progress_bar("predicting", len(photos))
    with output_folder(out), load(model, backend, threads, detector=finder) as predictor:
        if not predictor.card.codec.finds_joints:
            raise click.UsageError(f"'{predictor.card.name}' finds no joints; models of masks are for --mask-model")
        click.echo(f"Model: {predictor.card.name} ({predictor.description})")
        click.echo(people.said)
        masking.open(predictor, backend, threads, flip, batch)
        results = predictor.stream(
            photos,
            people.boxes,
            flip=flip_of(flip, flip_by),
            batch=batch,
            keep_images=not no_draw or masking.wanted or (lifting is not None and lifting.wants_images),
            select=Selection() if select else None,
        )
        with bar:
            for result in results:
                if result.error is not None:  # through the bar's console, which keeps the bar whole
                    bar.console.print(f"failed: {result.error}", markup=False, soft_wrap=True)
                result = masking.add(result)
                done.take(result)
                name, picture = names[result.index], pictures[result.index]
                if result.poses is None:  # older files would pass for new
                    remove_pictures(out, picture)
                    remove_masks(out, name)
                done.written += masking.write(result, out, name, picture)
                drawing = None if no_draw else out / f"{picture}{DRAWING}"
                if drawing is not None and result.poses is not None:
                    done.written.append(_draw(result, drawing, threshold, style))
                if lifting is not None:
                    done.written += lifting.take(result, drawing)
                advance(result.index + 1, len(photos))
        masking.close()
        done.written += _write(done, out, formats, names, people.ids)
        if lifting is not None:
            done.written.append(lifting.write(out))
        _summarise(done, len(photos), threshold, people.hint, time.perf_counter() - started)
        if done.failed:
            sys.exit(1)


@dataclass
class _Done:
    """What has come out so far, with the places of these photos among all; masks are packed, so that memory does not
    grow by the size of every photo.
    """

    poses: list[Poses] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    dropped: int = 0
    written: list[Path] = field(default_factory=list)

    def take(self, result: Result) -> None:
        from ..formats.rle import PackedMasks

        if result.poses is None:
            self.failed.append(result.index)
        else:
            self.places.append(result.index)
            poses = result.poses
            self.dropped += result.dropped
            self.poses.append(poses if poses.masks is None else replace(poses, masks=PackedMasks(poses.masks)))


def _check_formats(formats: Sequence[str]) -> None:
    """Fail now rather than after the last image."""
    if "parquet" in formats:
        from ..extras import need

        need("pyarrow", "tables", "writing Parquet")


def _draw(result: Result, path: Path, threshold: float | None, style: str) -> Path:
    from ..draw import draw

    assert result.poses is not None
    return save_picture(path, draw(result.image, result.poses, threshold=threshold, style=style), DRAWING)


def _write(
    done: _Done, out: Path, formats: Sequence[str], names: Sequence[str], ids: Sequence[int | str | None] | None
) -> list[Path]:
    """The result files; without any poses they are empty, for an older run's would be taken for this one's.

    Names are those among all photos, so that what a photo is called does not depend on which others failed.
    """
    from ..formats import RESULT_WRITERS, ids_of
    from ..formats.openpose import file_of

    every = ids_of(names)
    if ids is not None:  # the boxes' file has its own, of the photos that it mentions
        every = [own if given is None else given for own, given in zip(every, ids, strict=True)]
    chosen = {"names": [names[i] for i in done.places], "image_ids": [every[i] for i in done.places]}
    written = [path for name in dict.fromkeys(formats) for path in RESULT_WRITERS[name](done.poses, out, **chosen)]
    if "openpose" in formats:
        for i in done.failed:
            file_of(out, names[i]).unlink(missing_ok=True)
    return written


def _summarise(done: _Done, count: int, threshold: float | None, hint: str, seconds: float) -> None:
    if count == 1 and done.poses and len(done.poses[0]):
        _print_joints(done.poses[0], threshold)
    people = sum(map(len, done.poses))
    click.echo(f"{plural(people, 'person')} in {plural(len(done.poses), 'image')}, {seconds:.1f} s")
    if done.dropped:
        boxes = plural(done.dropped, "box")
        click.echo(f"{boxes} dropped: no person's joints in them, or a person found twice (--no-select keeps them)")
    nobody = sum(len(poses) == 0 for poses in done.poses)
    if nobody:
        click.echo(f"nobody was found in {plural(nobody, 'image')}" + (f" ({hint})" if hint else ""))
    for path in done.written[:_LISTED]:
        click.echo(f"wrote {path}")
    if len(done.written) > _LISTED:
        click.echo(f"wrote {plural(len(done.written) - _LISTED, 'further file')} beside them")
    if done.failed:
        click.echo(f"{len(done.failed)} of {plural(count, 'image')} failed", err=True)


def _print_joints(poses: Poses, threshold: float | None) -> None:
    """A table with a row a joint; joints that are not drawn are dimmed."""
    from rich.table import Table
    from rich.text import Text

    drawn, present = poses.shown(threshold), poses.present
    shown = min(len(poses), _COLUMNS)
    table = Table("joint")
    for i in range(shown):
        table.add_column("x, y (px)" if shown == 1 else f"person {i}: x, y", justify="right")
        table.add_column("score", justify="right")
        if poses.presence is not None:
            table.add_column("presence", justify="right")
    for k, joint in enumerate(poses.skeleton.names):
        cells = [Text(joint)]
        for i in range(shown):
            x, y = poses.keypoints[i, k]
            style = "" if drawn[i, k] else "dim"
            cells += [Text(f"{x:.1f}, {y:.1f}", style), Text(f"{poses.scores[i, k]:.2f}", style)]
            if poses.presence is not None:
                cells.append(Text(f"{poses.presence[i, k]:.2f}{'' if present[i, k] else ' absent'}", style))
        table.add_row(*cells)
    console().print(table)
    if len(poses) > shown:
        click.echo(f"and {plural(len(poses) - shown, 'further person')} in the result files")
