"""``vitruvian explain``: what a network sees in a photo, joint by joint, as a picture and as a web page."""

from __future__ import annotations

from pathlib import Path

import click

from ._common import output_folder, people_options, plural
from ._detector import DetectorChoice, detector_options


@click.command(short_help="Show heatmaps and attention over a photo.")
@click.argument("photo", type=click.Path(path_type=Path))
@people_options
@detector_options
@click.option(
    "--people", type=click.IntRange(1), default=10, show_default=True, help="The best-scored people that are shown."
)
@click.option("--backend", help="onnxruntime (default), openvino or torch; attention needs torch.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; by default the runtime's choice.")
def command(
    photo: Path,
    out: Path,
    boxes: Path | None,
    detector: str,
    detect_above: float | None,
    detect_once: bool,
    detector_layout: str | None,
    detector_input: str | None,
    detector_person: int | None,
    model: str,
    people: int,
    backend: str | None,
    threads: int | None,
) -> None:
    """Find people in PHOTO and show how: for each, the heatmap of every joint over the crop, with names and scores.

    Where the model has attention (and runs on torch), also what it attends to: as a whole, and for each joint. Writes
    NAME_explained.png and NAME_explained.html, which needs nothing beside it.
    """
    from ..data.images import read_image, write_image
    from ..draw import draw
    from ..draw.explain import explain_page, explain_sheet
    from ..formats.writing import write_text
    from ..predict import load
    from ..predict.explain import explain

    image = read_image(photo)
    choice = DetectorChoice(detector, detect_above, detector_layout, detector_person, detect_once, detector_input)
    finder = choice.load(threads, boxes)
    given = choice.boxes(finder, boxes, [photo])
    with output_folder(out), load(model, backend, threads, detector=finder) as predictor:
        poses, found = explain(predictor, image, None if given.boxes is None else given.boxes[0], people)
        about = f"Model: {predictor.card.name} ({predictor.description})"
        attention = any(person.has_attention for person in found)
        said = (
            "Attention is shown over its highest value in each map."
            if attention
            else "No attention: the model has none, or does not run on torch (--backend torch)."
        )
        for line in (about, given.said, said):
            click.echo(line)
        picture = out / f"{photo.stem}_explained.png"
        write_image(picture, explain_sheet(found))
        page = explain_page(found, draw(image, poses, boxes=True), title=photo.name, notes=(about, given.said, said))
        written = write_text(picture.with_suffix(".html"), page)
    click.echo(f"{plural(len(found), 'person')} explained")
    for path in (picture, written):
        click.echo(f"wrote {path}")
