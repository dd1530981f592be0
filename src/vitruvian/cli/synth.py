"""``vitruvian synth``: pictures of synthetic people with exact labels."""

from __future__ import annotations

from pathlib import Path

import click

from ._common import progress_bar

_EXISTING = click.Path(exists=True, path_type=Path)


@click.command(short_help="Render synthetic people with exact labels.")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Pictures in all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything.")
@click.option(
    "--size",
    "size_wh",
    type=(click.IntRange(32, 4096), click.IntRange(32, 4096)),
    default=(256, 256),
    show_default=True,
    help="Width and height, px.",
)
@click.option(
    "--poses",
    multiple=True,
    type=_EXISTING,
    help=".bvh, .amc (its .asf beside it) or .npz; may be given several times. Without any: the shipped pose prior.",
)
@click.option("--wardrobe", type=_EXISTING, help="Folder or tar of .obj with .mhclo. Without one, clothes are painted.")
@click.option(
    "--backgrounds", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of pictures."
)
@click.option(
    "--split",
    type=click.Choice(["all", "train", "val"]),
    default="all",
    show_default=True,
    help="train and val share no body shape, no recorded take and no garment.",
)
@click.option("--people", "max_people", type=click.IntRange(1, 8), default=4, show_default=True, help="At most.")
@click.option("--occluders", type=click.FloatRange(0, 1, max_open=True), default=0.3, show_default=True, help="Chance.")
@click.option(
    "--truncation", type=click.FloatRange(0, 1, max_open=True), default=0.2, show_default=True, help="Chance."
)
@click.option("--noise/--no-noise", default=True, show_default=True, help="Blur, sensor noise and colour casts.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="That draw at a time.")
def command(
    out: Path, count: int, seed: int, size_wh: tuple[int, int], poses: tuple[Path, ...], wardrobe: Path | None,
    backgrounds: Path | None, split: str, max_people: int, occluders: float, truncation: float, noise: bool,
    processes: int,
) -> None:  # fmt: skip
    """Make OUT: photos of people who do not exist, with joints, visibility, masks, part ids, boxes and cameras.

    The same options give the same pictures. Run it again after an interruption, or with a larger --count: it goes on
    where it stopped. The first run bakes the body (the extra `synth`; one or two minutes, 1 GB of cache).
    """
    import time

    from ..synth.humans import SceneOptions, SynthOptions, generate

    scene = SceneOptions(max_people, occluders, truncation, noise)
    options = SynthOptions(
        seed=seed, size_wh=size_wh, scene=scene, poses=tuple(p.as_posix() for p in poses),
        wardrobe=None if wardrobe is None else wardrobe.as_posix(),
        backgrounds=None if backgrounds is None else backgrounds.as_posix(), split=split,
    )  # fmt: skip
    bar, advance = progress_bar("drawing people", count)
    started, first = time.perf_counter(), []

    def told(done: int, total: int) -> None:
        first.append(done)
        advance(done, total)

    with bar:
        generate(out, count, options, processes=processes, advance=told, say=lambda words: click.echo(words, err=True))
    made, took = count - first[0], time.perf_counter() - started
    click.echo(f"{count} pictures in {out}" + (f", {made} of them new, {made / took:.1f} a second" if made else ""))
    annotations = (out / "person_keypoints_vitruvian19.json").as_posix()
    click.echo(f'\nFor a recipe:\n\ntrain:\n  - {{format: coco, path: "{annotations}"}}')
