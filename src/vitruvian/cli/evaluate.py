"""``vitruvian evaluate``: measure a model on annotated images, joint by joint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import plural, progress_bar, runtime_options

if TYPE_CHECKING:
    from ..metrics import MetricResult


@click.command(short_help="Measure a model on annotated images.")
@click.argument("model")
@click.argument("format_name", metavar="FORMAT")
@click.argument("annotations", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.Path(path_type=Path), help="Folder of the images, where the reader cannot guess it."
)
@click.option(
    "--metric", "metrics", multiple=True, default=("pck",), show_default=True, help="May be given several times."
)
@click.option(
    "--boxes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A detector's boxes (COCO detections) instead of the annotated ones; for oks_ap.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many images that have people.")
@runtime_options(batch=16)
def command(
    model: str,
    format_name: str,
    annotations: Path,
    images: Path | None,
    metrics: tuple[str, ...],
    boxes: Path | None,
    out: Path | None,
    limit: int | None,
    backend: str | None,
    threads: int | None,
    batch: int,
    flip: bool,
) -> None:
    """Measure MODEL on ANNOTATIONS of FORMAT (coco, lsp, mpii, openpose, yolo), on the annotated boxes.

    Prints a table with a row a joint for each metric: pck, pckh, auc, epe, oks_ap and more (a misspelt name lists
    them all).
    """
    from ..evaluate import counts, evaluate, to_report
    from ..formats import read
    from ..formats.coco import read_detections
    from ..predict import load

    detections = None if boxes is None else read_detections(boxes)
    # People without joints belong to COCO's rules: predictions that fall on them are no false alarms.
    result = read(format_name, annotations, images=images, keep_unlabelled="oks_ap" in metrics)
    click.echo(str(result.report))
    records = result.records
    if limit is not None:
        records = [r for r in records if any(map(counts, r.persons))][:limit]
    bar, advance = progress_bar("evaluating", len(records))
    with load(model, backend, threads) as predictor, bar:
        measured = evaluate(
            predictor,
            records,
            metrics,
            flip=flip,
            batch=batch,
            boxes=detections,
            progress=advance,
        )
        report = to_report(
            measured,
            predictor,
            split=_split(annotations, limit),
            boxes="truth" if boxes is None else boxes.name,
            flip=flip,
            images=len(records),
        )
    click.echo(
        f"{report['model']} ({report['runtime']}) on {plural(len(records), 'image')}, boxes: {report['boxes']}, "
        f"flip test: {'yes' if flip else 'no'}"
    )
    for found in measured.values():
        click.echo(f"\n{found.to_text()}\n{_counts(found)}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        click.echo(f"\nwrote {out}")


def _counts(found: MetricResult) -> str:
    """Who and what the figure is about: the metric's own counts, and joints that the model does not have."""
    numbers = {k: v for k, v in found.details.items() if isinstance(v, int) and not isinstance(v, bool)}
    parts = [f"{name.replace('_', ' ')}: {value:,}" for name, value in numbers.items()]
    lacking = found.details.get("joints_lacking")
    if lacking:
        parts.append(f"not among the model's joints: {', '.join(lacking)}")
    return "; ".join(parts)


def _split(annotations: Path, limit: int | None) -> str:
    """What to call the data: the last folder and the file, without the rest of this machine's paths."""
    name = "/".join(part for part in annotations.parts[-2:] if part not in ("/", ".", ".."))
    return name if limit is None else f"{name}, first {limit} images with people"
