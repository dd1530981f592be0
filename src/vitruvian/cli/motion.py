"""``vitruvian motion``: motion capture files into other formats, films and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import plural

if TYPE_CHECKING:
    from ..formats.motion import Motion

TARGETS = ("bvh", "trc", "c3d", "html", "gif", "mp4")
_SHOWN = ("html", "gif", "mp4")  # for people to look at: no more than 30 frames a second
_FASTEST = 30


@click.command(short_help="Convert motion capture, or show it.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(TARGETS),
    help="What to write; by default as --out is called, and without either the takes are listed.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; by default TAKE.<format> here.")
@click.option("--take", help="Name of the take, for files that hold several.")
@click.option("--asf", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Skeleton of an AMC.")
@click.option(
    "--unit-mm", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="A BVH's unit in mm."
)
@click.option("--every", type=click.IntRange(1), help="Keep every so many frames. Films and pages: up to 30 a second.")
def command(
    file: Path,
    target: str | None,
    out: Path | None,
    take: str | None,
    asf: Path | None,
    unit_mm: float,
    every: int | None,
) -> None:
    """Read FILE (BVH, AMC with its ASF, C3D, TRC, or .npz) and write it as BVH, TRC, C3D, a page or a film.

    C3D needs the extra mocap, MP4 the extra video. The y axis has to point upwards, as is usual.
    """
    from ..formats.motion_files import read_motion

    takes = read_motion(file, asf=asf, unit_mm=unit_mm)
    if target is None and out is not None:
        target = out.suffix.lower().removeprefix(".")
        if target not in TARGETS:
            raise click.UsageError(f"--out {out}: expected a name that ends in .{', .'.join(TARGETS)}, or --to")
    elif target is not None and out is not None and out.suffix.lower() not in ("", f".{target}"):
        raise click.UsageError(
            f"--to {target} and --out {out} are of two kinds; give one of them, or a file of that kind"
        )
    if target is None:
        for motion in takes:
            click.echo(
                f"{motion.name}: {plural(len(motion), 'frame')} at {motion.fps:g} fps, {len(motion.joints)} joints"
            )
        return
    motion = _thinned(_chosen(takes, take), target, every)
    path = out or Path(f"{motion.name}.{target}")
    _write(motion, target, path, unit_mm)
    click.echo(f"{motion.name}: {plural(len(motion), 'frame')} at {motion.fps:g} fps")
    click.echo(f"wrote {path}")


def _chosen(takes: list[Motion], name: str | None) -> Motion:
    names = [take.name for take in takes]
    if name is None and len(takes) == 1:
        return takes[0]
    if name not in names:
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        said = f"there are {len(names)} takes; name one" if name is None else f"there is no take '{name}'"
        raise click.UsageError(f"--take: {said}: {some}")
    return takes[names.index(name)]


def _thinned(motion: Motion, target: str, every: int | None) -> Motion:
    from dataclasses import replace
    from math import ceil

    if every is None:
        every = max(1, ceil(motion.fps / _FASTEST - 1e-6)) if target in _SHOWN else 1
    return replace(motion, positions_mm=motion.positions_mm[::every], fps=motion.fps / every)


def _write(motion: Motion, target: str, path: Path, unit_mm: float) -> None:
    if target == "bvh":
        from ..formats.bvh import write_bvh
        from ..formats.bvh_fit import bvh_from_motion

        write_bvh(path, bvh_from_motion(motion, unit_mm))
    elif target == "trc":
        from ..formats.trc import write_trc

        write_trc(path, motion)
    elif target == "c3d":
        from ..formats.c3d import write_c3d

        write_c3d(path, motion)
    else:
        from ..draw.figure3d import Figure3D, animate3d
        from ..draw.page3d import page3d
        from ..formats.writing import write_text

        figure = Figure3D.of_motion(motion, in_place=True)
        if target == "html":
            notes = (f"{len(motion)} frames at {motion.fps:g} a second; the first joint is kept above one place.",)
            write_text(path, page3d([figure], title=motion.name, fps=motion.fps, notes=notes))
        else:
            animate3d(path.with_suffix(f".{target}"), [figure], motion.fps)
